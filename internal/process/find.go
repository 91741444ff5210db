package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// extraDirs are searched after PATH, because the PATH of a service or an IDE is often short.
var extraDirs = []string{"/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"}

// Find returns the absolute path of the first of the programs that is in PATH or in a usual directory.
func Find(names ...string) (string, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if absolute, err := filepath.Abs(path); err == nil {
				return absolute, true
			}
		}
		for _, dir := range extraDirs {
			if path := filepath.Join(dir, name); Executable(path) {
				return path, true
			}
		}
	}
	return "", false
}

// Executable reports whether path is a file that somebody may execute.
func Executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listened on a moment ago. It is below the ranges that systems give out by
// themselves, so that no connection or listener of another program gets it by chance while its owner restarts. Another caller of
// FreePort may still take it first, so be ready to try again.
func FreePort() (int, error) {
	const lowest, ports, tries = 15_000, 17_000, 100
	for range tries {
		if port := lowest + rand.IntN(ports); PortFree(port) { // #nosec G404 -- spreads callers, guards nothing
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: none of %d between %d and %d", tries, lowest, lowest+ports)
}

// PortFree reports whether 127.0.0.1:port can be listened on now.
func PortFree(port int) bool {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
