// Package process launches the server programs that the zero set-up stack and the tests need: it finds programs, picks the account
// and the directories they run in, starts them so that they cannot outlive this process, waits until they answer, and stops them.
//
// It is the one place for that: the launchers of PostgreSQL and of Valkey say only what is particular to their server.
package process
