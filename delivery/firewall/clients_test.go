package firewall

import (
	"net/http"
	"strings"
	"testing"
)

// The headers that real clients send, of a browser's front end on another origin,
// of Node's fetch (docs/client), of curl, of Clerk's deliveries by Svix and of a
// probe, with every kind of request that the API knows.
var clients = map[string]map[string]string{
	"a browser": {
		"Sec-Ch-Ua": `"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"`, "Sec-Ch-Ua-Mobile": "?0", "Sec-Ch-Ua-Platform": `"Windows"`,
		"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Accept":     "*/*", "Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty",
		"Referer": "https://app.example.com/settings?tab=profile&return=%2Fhome", "Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "de-DE,de;q=0.9,en;q=0.8",
		"Priority": "u=1, i", "Cookie": "__session=eyJhbGciOiJSUzI1NiJ9.e30.c2ln; __client_uat=1700000000; _ga=GA1.1.123456789.1700000000",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Baggage": "sentry-environment=production,sentry-release=1.2.3",
		"Sentry-Trace": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
	},
	"Node": {
		"User-Agent": "node", "Accept": "*/*", "Accept-Language": "*", "Sec-Fetch-Mode": "cors", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive",
	},
	"curl":                       {"User-Agent": "curl/8.14.1", "Accept": "*/*"},
	"a library that says little": {},
}

func TestRealClientsPass(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	const id, list = "019ca945-0a00-7aa2-b11b-b27c75189337", "019ca945-0a00-7aa2-b11b-b27c75189337,019ca945-0a00-7aa2-b11b-b27c75189338"
	for client, headers := range clients {
		for _, c := range []struct{ method, uri, contentType, body string }{
			{"GET", "/v1/profiles/me", "", ""}, {"HEAD", "/v1/profiles/me", "", ""}, {"GET", "/v1/profiles/me/export", "", ""},
			{"PATCH", "/v1/profiles/me", patchJSON, `{"display_name":"Ada Lovelace","bio":null,"links":[{"label":"Notes","url":"https://example.org/notes?a=1&b=2#c"}]}`},
			{"PATCH", "/v1/profiles/me", "application/json; charset=utf-8", `{"visibility":"private","theme_color":"#1e90ff"}`},
			{"PATCH", "/v1/profiles/me/preferences", patchJSON, `{"theme":"dark","email_notifications":{"digest":false}}`},
			{"DELETE", "/v1/profiles/me", "", ""}, {"GET", "/v1/profiles/me/activity?limit=50&cursor=_zXN7fJpNsJ7XKocU4biAVEfqIcVYj5AUilmN3FpnEF2iB4xuPZAvxUeujqywRfq", "", ""},
			{"GET", "/v1/profiles?ids=" + list, "", ""}, {"GET", "/v1/profiles?handles=ada,grace_hopper,Alan_T", "", ""}, {"GET", "/v1/handles/select_from_where", "", ""},
			{"GET", "/v1/admin/profiles?q=o%27brien&status=active&sort=-created_at&created_after=2026-03-01T12%3A03%3A00%2B01%3A00&limit=200", "", ""},
			{"GET", "/v1/admin/profiles?q=ada%2Btest%40example.com", "", ""}, {"GET", "/v1/admin/audit-events?action=profile.erased&since=2026-03-01T00:00:00Z&profile_id=" + id, "", ""},
			{"POST", "/v1/admin/profiles/" + id + "/suspend", "application/json", `{"reason":"Spam: see ticket #42 (https://support.example.com/t/42)","until":"2026-12-01T00:00:00Z"}`},
			{"POST", "/v1/admin/profiles/" + id + "/reactivate", "", ""}, {"GET", "/docs", "", ""}, {"GET", "/openapi.yaml", "", ""}, {"GET", "/.well-known/security.txt", "", ""},
			{"GET", "/problems/validation-failed", "", ""}, {"OPTIONS", "/v1/profiles/me", "", ""}, {"GET", "/docs/swagger-ui.css", "", ""},
		} {
			r := request(c.method, c.uri, c.contentType)
			r.Header = http.Header{"Authorization": r.Header["Authorization"], "Content-Type": r.Header["Content-Type"]}
			if c.contentType == "" {
				r.Header.Del("Content-Type")
			}
			for name, value := range headers {
				r.Header.Set(name, value)
			}
			r.Header.Set("If-Match", `"12"`)
			r.Header.Set("If-None-Match", `W/"12", "13"`)
			r.Header.Set("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324")
			if c.method == http.MethodOptions {
				r.Header.Set("Access-Control-Request-Method", "PATCH")
				r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,if-match,traceparent")
			}
			if v := inspect(t, e, r, c.body); v.Stop {
				t.Errorf("%s: %s %s: stopped by %v", client, c.method, c.uri, v.Rules)
			}
		}
	}
}

// Svix's headers, and what Clerk's signature is made of: any base64.
func TestClerksDeliveriesPass(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	r := request("POST", "/v1/webhooks/clerk", "application/json")
	r.Header = http.Header{
		"User-Agent": {"Svix-Webhooks/1.62.0 (sender-9YMgn; +https://www.svix.com/http-sender/)"}, "Accept": {"*/*"}, "Content-Type": {"application/json"},
		"Svix-Id": {"msg_2abcDEFghiJKLmno"}, "Svix-Timestamp": {"1767225600"}, "Content-Length": {"1048576"},
		"Svix-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo= " + strings.Repeat("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= ", 3)},
	}
	if v := inspect(t, e, r, ""); v.Stop {
		t.Errorf("stopped by %v", v.Rules)
	}
}
