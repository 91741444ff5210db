package process

import "syscall"

func attributes(account *Account, orphan syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: account.credential(), Pdeathsig: orphan}
}
