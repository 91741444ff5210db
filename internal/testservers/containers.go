package testservers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/valkeylauncher"
)

const (
	// engineLimit is how long a Docker engine may take to answer before programs on the machine are looked for instead.
	engineLimit = 3 * time.Second
	// containerLimit bounds the start of a container whose image is there.
	containerLimit = 60 * time.Second
)

// engine is what a way needs of a Docker engine. Tests have one of their own.
type engine interface {
	// answers returns an error when there is no engine to talk to.
	answers(ctx context.Context) error
	hasImage(ctx context.Context, image string) (bool, error)
	// pull fetches the image and gives up soon when the registry does not answer.
	pull(ctx context.Context, image string) error
	// run starts a container and returns every host:port at which its port may be reached, and how to remove it.
	run(ctx context.Context, c container) (addresses []string, remove func(context.Context) error, err error)
}

// container says what to run.
type container struct {
	image   string
	port    string // number/tcp
	env     map[string]string
	command []string
	tmpfs   string // directory to keep in memory
	url     func(address string) string
	ping    func(ctx context.Context, url string) error
}

func postgresFromContainer(ctx context.Context) (server, error) {
	return fromContainer(ctx, docker{}, postgresContainer())
}

func valkeyFromContainer(ctx context.Context) (server, error) {
	return fromContainer(ctx, docker{}, valkeyContainer())
}

func postgresContainer() container {
	// The port is open on every interface of the machine, so the password has to be a good one.
	password := randomText(20)
	command := []string{"postgres"}
	for name, value := range fastSettings {
		command = append(command, "-c", name+"="+value)
	}
	return container{
		image: "postgres:17-alpine", port: "5432/tcp", tmpfs: "/var/lib/postgresql/data", command: command, ping: pingPostgres,
		env: map[string]string{"POSTGRES_PASSWORD": password},
		url: func(address string) string {
			return (&url.URL{
				Scheme: "postgres", User: url.UserPassword("postgres", password), Host: address, Path: "/postgres", RawQuery: "sslmode=disable",
			}).String()
		},
	}
}

func valkeyContainer() container {
	password := randomText(20)
	return container{
		image: "valkey/valkey:8-alpine", port: "6379/tcp", tmpfs: "/data", ping: pingValkey,
		command: []string{
			"valkey-server", "--save", "", "--appendonly", "no", "--requirepass", password,
			"--databases", strconv.Itoa(valkeylauncher.Databases),
		},
		url: func(address string) string {
			return (&url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: address, Path: "/0"}).String()
		},
	}
}

// fromContainer runs the container. Whatever prevents it leads on to the next way; what looks like a mishap rather than a machine without
// Docker is said on standard error too.
func fromContainer(ctx context.Context, e engine, c container) (server, error) {
	if err := answersSoon(ctx, e); err != nil {
		return server{}, notHere(fmt.Errorf("no Docker engine answers: %w", err))
	}
	if err := ensureImage(ctx, e, c.image); err != nil {
		say("the Docker engine has no image %s and cannot pull it, so it is not used: %v", c.image, err)
		return server{}, notHere(fmt.Errorf("the image %s cannot be had: %w", c.image, err))
	}
	opened, err := runContainer(ctx, e, c)
	if err != nil {
		say("a container from %s does not run, so the Docker engine is not used: %v", c.image, err)
		return server{}, notHere(err)
	}
	return opened, nil
}

func answersSoon(ctx context.Context, e engine) error {
	ctx, cancel := context.WithTimeout(ctx, engineLimit)
	defer cancel()
	return e.answers(ctx)
}

func ensureImage(ctx context.Context, e engine, image string) error {
	found, err := e.hasImage(ctx, image)
	if err != nil || found {
		return err
	}
	return e.pull(ctx, image)
}

func runContainer(ctx context.Context, e engine, c container) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, containerLimit)
	defer cancel()
	addresses, remove, err := e.run(ctx, c)
	if err != nil {
		return server{}, err
	}
	address, err := firstAnswer(ctx, addresses, func(ctx context.Context, address string) error { return c.ping(ctx, c.url(address)) })
	if err != nil {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpLimit)
		defer cancel()
		return server{}, errors.Join(err, remove(removing))
	}
	atEnd(remove)
	return server{url: c.url(address), where: "a container from " + c.image + ", on " + address}, nil
}

// firstAnswer tries all the addresses at once until one answers. Which one does depends on where the tests and the engine run (on the
// same machine, either of them in a container or a virtual machine), and a wrong one may swallow packets without a word.
func firstAnswer(ctx context.Context, addresses []string, ping func(context.Context, string) error) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		address string
		err     error
	}
	outcomes := make(chan outcome, len(addresses))
	for _, address := range addresses {
		go func() {
			outcomes <- outcome{address, process.Poll(ctx, nil, func(ctx context.Context) error { return ping(ctx, address) })}
		}()
	}
	if len(addresses) == 0 {
		return "", errors.New("the container has no address")
	}
	var failures error
	for range addresses {
		first := <-outcomes
		if first.err == nil {
			return first.address, nil
		}
		failures = errors.Join(failures, fmt.Errorf("%s: %w", first.address, first.err))
	}
	return "", failures
}
