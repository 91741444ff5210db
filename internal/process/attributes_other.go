//go:build !linux

package process

import "syscall"

// Only Linux can tie a child's life to its parent's, so the orphan signal is ignored here.
func attributes(account *Account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: account.credential()}
}
