// Package domain holds the entities of profile-api with their rules, the value
// types, the errors and the caller. It imports the standard library only, so
// that every rule can be read and tested without a server.
package domain
