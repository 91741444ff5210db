// Package config turns the process environment and one optional YAML file into
// the typed [Settings] of profile-api, or into [Faults] that list everything
// that is wrong at once. Nothing in here ever prints a secret: not in a
// setting's text, not in an error.
//
// Sources, weakest first: defaults, the flat YAML file named by CONFIG_FILE,
// environment variables. Within one source a secret NAME may be given as
// NAME_FILE, a path, instead. A variable that is set to nothing (the empty
// string, or white space alone for what is no secret) counts as not set, so
// that "NAME: ${NAME:-}" in a compose file means what it looks like; the same
// goes for null, "" and [] in the YAML file.
package config
