package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// maxFileBytes bounds what is read of a secret's file or of the YAML file.
const maxFileBytes = 1 << 20

// readSecretFile reads a mounted secret without the line breaks at its end, which editors
// and echo add. The problem, empty when all is well, tells nothing of the content.
func readSecretFile(path string) (text, problem string) {
	content, problem := readRegular(path)
	if problem != "" {
		return "", problem
	}
	text = strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", "it is empty"
	}
	return text, ""
}

// readRegular reads a regular file (a pipe could hang the start for ever). It
// gives the reason alone of a failure, since an fs error repeats the path,
// which may be a secret that was put into the wrong variable.
func readRegular(path string) (content []byte, problem string) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if info.IsDir() {
		return nil, "it is a directory"
	}
	if !info.Mode().IsRegular() {
		return nil, "it is not a regular file"
	}
	f, err := os.Open(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = f.Close() }()
	content, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(content) > maxFileBytes {
		return nil, "it is larger than 1 MiB"
	}
	return content, ""
}

func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "it does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "it may not be read by this user"
	default:
		return "it cannot be read"
	}
}

// echoPath repeats a path that reads like one. A secret may have been put
// where its path belongs, and some of those hold slashes too.
func echoPath(path string) string {
	const longest, longestName = 256, 40
	if len(path) > longest || strings.ContainsAny(path, "@+=\n") || strings.Contains(path, "://") {
		return ""
	}
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, ".") {
		return ""
	}
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > longestName || strings.HasPrefix(name, "sk_") || strings.HasPrefix(name, "whsec_") {
			return ""
		}
	}
	return " (" + strconv.Quote(path) + ")"
}
