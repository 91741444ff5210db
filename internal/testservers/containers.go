package testservers

import (
	"context"
	"errors"
)

func postgresFromContainer(context.Context) (server, error) {
	return server{}, notHere(errors.New("containers are not supported yet"))
}

func valkeyFromContainer(context.Context) (server, error) {
	return server{}, notHere(errors.New("containers are not supported yet"))
}
