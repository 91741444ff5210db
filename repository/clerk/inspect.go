package clerk

import (
	"context"
	"net/http"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
)

// InspectOptions say where Clerk's Backend API is.
type InspectOptions struct {
	APIURL    string // CLERK_API_URL; empty is Clerk's own
	SecretKey string // CLERK_SECRET_KEY; required
	Clock     Clock  // required
}

// Answer is what came back, whether it could be used or not.
type Answer struct {
	Status         int       // 0 when nothing came
	Date           time.Time // its Date header, in whole seconds; zero without one
	Asked, Arrived time.Time // by the clock of the options
}

// InspectKeySet fetches the key set as the server does, and counts the keys that
// tokens can be verified with. The error's text is not for people.
func InspectKeySet(ctx context.Context, opts InspectOptions) (keys int, a Answer, err error) {
	usable, err := opts.fetcher(&a).fetch(ctx)
	return len(usable), a, err
}

// InspectSecretKey asks something harmless, how many users there are, as the
// calls about users do. The error's text is not for people.
func InspectSecretKey(ctx context.Context, opts InspectOptions) (a Answer, err error) {
	var count struct {
		clerksdk.APIResource
		TotalCount int64 `json:"total_count"`
	}
	err = opts.fetcher(&a).backend.Call(ctx, clerksdk.NewAPIRequest(http.MethodGet, "/users/count"), &count)
	return a, err
}

// InspectIssuers lists who issues the tokens of the secret key's instance: the
// addresses of its Frontend API, by its domains (Clerk's Backend API, "List all
// instance domains"). The error's text is not for people.
func InspectIssuers(ctx context.Context, opts InspectOptions) (issuers []string, a Answer, err error) {
	var domains clerksdk.DomainList
	if err := opts.fetcher(&a).backend.Call(ctx, clerksdk.NewAPIRequest(http.MethodGet, "/domains"), &domains); err != nil {
		return nil, a, err
	}
	for _, d := range domains.Domains {
		if d == nil {
			continue
		}
		issuers = append(issuers, d.FrontendAPIURL)
		if d.ProxyURL != nil {
			issuers = append(issuers, *d.ProxyURL)
		}
	}
	return issuers, a, nil
}

func (o InspectOptions) fetcher(a *Answer) *fetcher {
	return newFetcher(o.APIURL, o.SecretKey, &http.Client{Transport: noting{a, o.Clock}})
}

// noting writes down what came back.
type noting struct {
	answer *Answer
	clock  Clock
}

func (t noting) RoundTrip(req *http.Request) (*http.Response, error) {
	t.answer.Asked = t.clock.Now()
	resp, err := http.DefaultTransport.RoundTrip(req) //nolint:forbidigo // the caller's context has a deadline
	if err != nil {
		return nil, err
	}
	t.answer.Arrived, t.answer.Status = t.clock.Now(), resp.StatusCode
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.answer.Date = date
	}
	return resp, nil
}
