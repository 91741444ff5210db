// Package docs holds the description of the API.
package docs

import _ "embed"

// OpenAPI is openapi.yaml: the contract with clients, kept by hand, and held
// against the code by the tests of delivery/rest.
//
//go:embed openapi.yaml
var OpenAPI []byte
