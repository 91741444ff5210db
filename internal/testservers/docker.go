package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"

	"github.com/profile-api/profile-api/internal/process"
)

const (
	// registryLimit is how long the registry may take to say anything at all about an image.
	registryLimit = 5 * time.Second
	pullLimit     = 3 * time.Minute
	// ownerLabel marks our containers with HOST/PID of the test binary that they belong to.
	ownerLabel = "profile-api.test-owner"
)

// docker is the Docker engine that testcontainers-go finds: DOCKER_HOST, the current context, the usual sockets.
type docker struct{}

// dockerClient connects to the engine once.
var dockerClient = sync.OnceValues(func() (found *testcontainers.DockerClient, err error) {
	// testcontainers-go panics where it finds no engine in some of its corners.
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("testcontainers: %v", trouble)
		}
	}()
	log.SetDefault(log.NewNoopLogger())
	// Its reaper is one more image to pull. Containers of test binaries that were killed are swept by the next run instead.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), engineLimit)
	defer cancel()
	return testcontainers.NewDockerClientWithOpts(ctx)
})

func (docker) answers(ctx context.Context) error {
	engine, err := dockerClient()
	if err != nil {
		return err
	}
	_, err = engine.Ping(ctx, client.PingOptions{})
	return err
}

func (docker) hasImage(ctx context.Context, image string) (bool, error) {
	engine, err := dockerClient()
	if err != nil {
		return false, err
	}
	_, err = engine.ImageInspect(ctx, image)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (docker) pull(ctx context.Context, image string) error {
	engine, err := dockerClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	// The first message comes when the registry has answered; until then the shorter limit counts.
	silent := time.AfterFunc(registryLimit, cancel)
	defer silent.Stop()
	response, err := engine.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	for message, err := range response.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if message.Error != nil {
			return message.Error
		}
		if silent.Stop() {
			say("pulling %s", image)
		}
	}
	return ctx.Err()
}

func (docker) run(ctx context.Context, c container) (addresses []string, remove func(context.Context) error, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("testcontainers: %v", trouble)
		}
	}()
	sweepContainers(ctx)
	running, err := testcontainers.Run(ctx, c.image,
		testcontainers.WithLogger(log.NewNoopLogger()),
		testcontainers.WithExposedPorts(c.port),
		testcontainers.WithEnv(c.env),
		testcontainers.WithCmd(c.command...),
		testcontainers.WithTmpfs(map[string]string{c.tmpfs: "rw"}),
		testcontainers.WithLabels(map[string]string{ownerLabel: ownerPrefix() + strconv.Itoa(os.Getpid())}),
	)
	if err != nil {
		return nil, nil, errors.Join(err, testcontainers.TerminateContainer(running))
	}
	addresses, err = addressesOf(ctx, running, c.port)
	if err != nil {
		return nil, nil, errors.Join(err, testcontainers.TerminateContainer(running))
	}
	return addresses, func(ctx context.Context) error {
		return running.Terminate(ctx, testcontainers.StopTimeout(0))
	}, nil
}

// addressesOf returns the mapped port as testcontainers-go reports it, which is wrong where it takes a virtual machine for a container;
// the same on loopback; and the container's own address.
func addressesOf(ctx context.Context, running *testcontainers.DockerContainer, port string) ([]string, error) {
	reported, err := running.PortEndpoint(ctx, port, "")
	if err != nil {
		return nil, err
	}
	_, mapped, err := net.SplitHostPort(reported)
	if err != nil {
		return nil, err
	}
	addresses := []string{reported}
	if loopback := net.JoinHostPort("127.0.0.1", mapped); loopback != reported {
		addresses = append(addresses, loopback)
	}
	if own, err := running.ContainerIP(ctx); err == nil && own != "" {
		number, _, _ := strings.Cut(port, "/")
		addresses = append(addresses, net.JoinHostPort(own, number))
	}
	return addresses, nil
}

func ownerPrefix() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/"
}

// sweepContainers removes the containers of test binaries on this host that died without doing so themselves.
func sweepContainers(ctx context.Context) {
	engine, err := dockerClient()
	if err != nil {
		return
	}
	listed, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", ownerLabel)})
	if err != nil {
		return
	}
	for _, item := range listed.Items {
		owner, here := strings.CutPrefix(item.Labels[ownerLabel], ownerPrefix())
		if pid, err := strconv.Atoi(owner); !here || err != nil || process.Alive(pid) {
			continue
		}
		// Best effort: another test binary may be removing it at the same time.
		_, _ = engine.ContainerRemove(ctx, item.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
}
