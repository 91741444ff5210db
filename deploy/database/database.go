// Package database holds the SQL that an operator runs as a superuser, for the
// tests that run the program under the rights that it gives.
package database

import _ "embed"

// Roles makes the roles and their rights; see the file.
//
//go:embed roles.sql
var Roles string
