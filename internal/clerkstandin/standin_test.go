package clerkstandin_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwks"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/clerk/clerk-sdk-go/v2/user"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func start(t *testing.T, opts clerkstandin.Options) (*clerkstandin.Server, *clerkstandin.Running) {
	t.Helper()
	s, err := clerkstandin.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := run.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s, run
}

func backend(s *clerkstandin.Server, run *clerkstandin.Running) *clerk.ClientConfig {
	cfg := &clerk.ClientConfig{}
	cfg.URL = clerk.String(run.APIURL())
	cfg.Key = clerk.String(s.SecretKey())
	return cfg
}

// The SDK's own verification is the judge of whether our tokens look like Clerk's.
func TestTokensSatisfyClerksSDK(t *testing.T) {
	s, run := start(t, clerkstandin.Options{})
	token, err := s.Token("ada")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.Verify(t.Context(), &jwt.VerifyParams{
		Token: token, JWKSClient: jwks.NewClient(backend(s, run)),
		ProxyURL: clerk.String("https://" + clerkstandin.DefaultHost),
	})
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != clerkstandin.UserID("ada") || !strings.HasPrefix(claims.SessionID, "sess_") {
		t.Errorf("sub %q, sid %q", claims.Subject, claims.SessionID)
	}
	if got := *claims.Expiry - *claims.IssuedAt; got != 3600 {
		t.Errorf("lives %d s, want 3600", got)
	}
	if got := *claims.IssuedAt - *claims.NotBefore; got != 10 {
		t.Errorf("nbf lies %d s before iat, want 10", got)
	}
	if claims.FactorVerificationAge != [2]int64{0, -1} || claims.AuthorizedParty != clerkstandin.DefaultAuthorizedParty {
		t.Errorf("fva %v, azp %q", claims.FactorVerificationAge, claims.AuthorizedParty)
	}
	if _, err := s.Token("nobody"); err == nil {
		t.Error("a token was minted for nobody")
	}
}

func TestUsersAPISatisfiesClerksSDK(t *testing.T) {
	s, run := start(t, clerkstandin.Options{})
	users := user.NewClient(backend(s, run))
	ctx := t.Context()
	ada, err := users.Get(ctx, clerkstandin.UserID("ada"))
	if err != nil {
		t.Fatal(err)
	}
	if len(ada.EmailAddresses) != 1 || *ada.PrimaryEmailAddressID != ada.EmailAddresses[0].ID ||
		ada.EmailAddresses[0].Verification.Status != "verified" || string(ada.PublicMetadata) != `{"role":"admin"}` {
		t.Errorf("ada = %+v", ada)
	}
	if ada.CreatedAt != 1736933400000 || *ada.Username != "ada" || *ada.ImageURL == "" {
		t.Errorf("created_at %d, username %q", ada.CreatedAt, *ada.Username)
	}
	page := &user.ListParams{}
	page.Limit, page.Offset = clerk.Int64(3), clerk.Int64(2)
	list, err := users.List(ctx, page)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Users) != 2 || list.TotalCount != 4 {
		t.Errorf("the page holds %d of %d, want 2 of 4", len(list.Users), list.TotalCount)
	}
	deleted, err := users.Delete(ctx, ada.ID)
	if err != nil || !deleted.Deleted {
		t.Fatalf("delete: %v, %+v", err, deleted)
	}
	if _, err := users.Get(ctx, ada.ID); err == nil {
		t.Error("a deleted person is still served")
	}
	if _, err := users.Delete(ctx, ada.ID); err == nil {
		t.Error("deleting twice succeeded")
	}
	if _, err := s.Token("ada"); err == nil {
		t.Error("a deleted person still gets tokens")
	}
}

func TestBackendAPIAsksForTheSecretKey(t *testing.T) {
	s, run := start(t, clerkstandin.Options{})
	cfg := backend(s, run)
	cfg.Key = clerk.String("sk_test_another")
	if _, err := jwks.NewClient(cfg).Get(t.Context(), &jwks.GetParams{}); err == nil {
		t.Error("the key set was given away under a wrong key")
	}
	if s.KeyFetches() != 1 {
		t.Errorf("counted %d fetches, want 1", s.KeyFetches())
	}
	if status, _, _ := get(t, run.URL()+"/.well-known/jwks.json", nil); status != http.StatusOK {
		t.Errorf("the public key set answers %d", status)
	}
}

func get(t *testing.T, url string, header map[string]string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// A foreign web page must not be able to become somebody on this machine.
func TestTokensAreForThisMachineOnly(t *testing.T) {
	_, run := start(t, clerkstandin.Options{})
	for name, c := range map[string]struct {
		header map[string]string
		want   int
	}{
		"loopback address":    {nil, http.StatusOK},
		"localhost":           {map[string]string{"Host": "LocalHost:8081"}, http.StatusOK},
		"loopback IPv6":       {map[string]string{"Host": "[::1]:8081"}, http.StatusOK},
		"rebound name":        {map[string]string{"Host": "evil.example"}, http.StatusMisdirectedRequest},
		"name that resembles": {map[string]string{"Host": "localhost.evil.example"}, http.StatusMisdirectedRequest},
		"address of another":  {map[string]string{"Host": "192.0.2.1:8081"}, http.StatusMisdirectedRequest},
		"foreign page":        {map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, http.StatusForbidden},
		"page of its own":     {map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, http.StatusOK},
		"link to the page":    {map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/token?person=ada", "/?person=ada"} {
				if c.header != nil {
					c.header["Origin"] = "https://evil.example"
				}
				status, body, header := get(t, run.URL()+path, c.header)
				if status != c.want {
					t.Errorf("%s: status %d, want %d", path, status, c.want)
				}
				if status != http.StatusOK && strings.Contains(body, "eyJ") {
					t.Errorf("%s: the refusal holds a token", path)
				}
				for h := range header {
					if strings.HasPrefix(h, "Access-Control-") {
						t.Errorf("%s: CORS header %s", path, h)
					}
				}
			}
		})
	}
}

func TestPage(t *testing.T) {
	_, run := start(t, clerkstandin.Options{
		APIBaseURL: "http://127.0.0.1:9999/",
		People: []clerkstandin.Person{
			clerkstandin.NewPerson("ada", "Ada", "Lovelace", "admin"),
			clerkstandin.NewPerson("mallory", "<script>", "&", ""),
		},
	})
	status, body, header := get(t, run.URL()+"/?person=mallory", nil)
	if status != http.StatusOK || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("status %d, CSP %q", status, header.Get("Content-Security-Policy"))
	}
	if !strings.Contains(body, "http://127.0.0.1:9999/v1/profiles/me") || !strings.Contains(body, "Bearer eyJ") {
		t.Error("the page lacks the curl line")
	}
	if !strings.Contains(body, `href="http://127.0.0.1:9999/docs"`) {
		t.Error("the page does not lead to the API's docs")
	}
	if strings.Contains(body, "<script> ") || !strings.Contains(body, "&lt;script&gt;") {
		t.Error("a name is not escaped")
	}
	if strings.Contains(body, "src=") || strings.Contains(body, "<link") {
		t.Error("the page loads assets")
	}
	if status, _, _ := get(t, run.URL()+"/?person=nobody", nil); status != http.StatusNotFound {
		t.Errorf("nobody's page answers %d", status)
	}
	status, body, _ = get(t, run.URL()+"/token?person=ada", nil)
	if status != http.StatusOK || strings.Count(body, ".") != 2 || strings.TrimSpace(body) != body {
		t.Errorf("/token answers %d with %d bytes", status, len(body))
	}
}

func TestKeyIsKeptAcrossRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	first, err := clerkstandin.LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := clerkstandin.LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equal(second) || clerkstandin.KeyID(&first.PublicKey) != clerkstandin.KeyID(&second.PublicKey) {
		t.Error("the key or its id changed")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clerkstandin.LoadOrCreateKey(bad); err == nil {
		t.Error("a broken key file was taken")
	}
	if data, _ := os.ReadFile(bad); string(data) != "not a key" {
		t.Error("a broken key file was overwritten")
	}
}

func TestFaultsEndWhenHealed(t *testing.T) {
	s, err := clerkstandin.New(clerkstandin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() int {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
		return rec.Code
	}
	s.Break(clerkstandin.Fault{Status: http.StatusBadGateway})
	if got := ask(); got != http.StatusBadGateway {
		t.Errorf("broken: %d", got)
	}
	s.Break(clerkstandin.Fault{Hang: true})
	done := make(chan int)
	go func() { done <- ask() }()
	for s.KeyFetches() < 2 { // until it hangs
		time.Sleep(time.Millisecond)
	}
	s.Heal()
	if got := <-done; got != http.StatusOK {
		t.Errorf("healed: %d", got)
	}
}

func TestPublishableKeyNamesTheHost(t *testing.T) {
	if got := clerkstandin.PublishableKey("clerk.example.com"); got != "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k" {
		t.Error(got)
	}
	if got := clerkstandin.LivePublishableKey("clerk.example.com"); got != "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k" {
		t.Error(got)
	}
}
