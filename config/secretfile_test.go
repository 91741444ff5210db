package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "key", goodKey+"\r\n\n")
	s := mustLoad(t, with(without(production(), "SECRET_KEY"), "SECRET_KEY_FILE", key))
	if s.SecretKey.Reveal() != goodKey {
		t.Error("the line breaks at the end of the file were not trimmed, or more was")
	}
	if got := s.origins["SECRET_KEY"]; got != (Origin{SourceSecretFile, "SECRET_KEY_FILE"}) {
		t.Errorf("origin = %v", got)
	}
	for _, entry := range Reference() {
		if !entry.File {
			continue
		}
		full := with(production(), "CLERK_JWT_KEY", rsaPEM(t, 2048), "CLERK_WEBHOOK_SECRET", "whsec_AAEC,whsec_BAUG", "SECRET_KEY_FALLBACKS", otherKey,
			"EVENTS_WEBHOOK_URLS", "https://a.dev/hook", "EVENTS_WEBHOOK_SECRET", "whsec_AAEC",
			"OTEL_EXPORTER_OTLP_HEADERS", "a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b")
		path := writeFile(t, "value", full[entry.Variable]+"\n")
		s := mustLoad(t, with(without(full, entry.Variable), entry.Variable+"_FILE", path))
		if s.origins[entry.Variable].Source != SourceSecretFile {
			t.Errorf("%s_FILE is not read", entry.Variable)
		}
	}
	redis := writeFile(t, "redis", "redis://cache.acme.dev")
	s = mustLoad(t, with(without(production(), "VALKEY_URL"), "REDIS_URL_FILE", redis))
	if s.ValkeyURL.Reveal() != "redis://cache.acme.dev" {
		t.Error("REDIS_URL_FILE is not read")
	}
}

func TestSecretFileFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	fifo := filepath.Join(dir, "pipe")
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, want string }{
		{"missing", missing, missing},
		{"empty", writeFile(t, "empty", ""), "empty"},
		{"line breaks alone", writeFile(t, "breaks", "\n\r\n"), "empty"},
		{"a directory", dir, dir},
		{"a pipe nobody writes to", fifo, "regular"},
		{"too large", writeFile(t, "large", strings.Repeat("x", maxFileBytes+1)), "1 MiB"},
		{"below a file", filepath.Join(writeFile(t, "file", "x"), "key"), "does not exist"},
		{"binary", writeFile(t, "binary", goodKey+"\xff\xfe"), "UTF-8"},
		{"two lines", writeFile(t, "two", goodKey+"\n"+otherKey), "line breaks"},
		{"a key too short", writeFile(t, "short", "private-content-1"), "50"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			faults := faultsOf(t, with(without(production(), "SECRET_KEY"), "SECRET_KEY_FILE", test.path))
			wantOnly(t, faults, "SECRET_KEY")
			if !strings.Contains(faults.Error(), test.want) {
				t.Errorf("error does not say %q: %v", test.want, faults)
			}
			wantHidden(t, "the error", faults.Error(), goodKey, otherKey, "private-content-1")
		})
	}
}

func TestAnUnreadableSecretFile(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "locked", goodKey)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	env := with(without(production(), "SECRET_KEY"), "SECRET_KEY_FILE", path)
	if os.Geteuid() == 0 { // root reads it all the same
		mustLoad(t, env)
		return
	}
	faults := faultsOf(t, env)
	wantOnly(t, faults, "SECRET_KEY")
	if !strings.Contains(faults.Error(), path) {
		t.Errorf("error does not name the path: %v", faults)
	}
}

func TestASecretPutWhereItsPathBelongsIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		goodKey, "/" + goodKey, "sk_live_Jq8ZtVb3Kx0RwYp5", "./sk_live_abc", "whsec_AAECAw==", "/x/Zm9v+YmFy=",
		"postgres://u:p4ss@db/x", "/" + strings.Repeat("a/", 200), "line\nbreak",
	} {
		faults := faultsOf(t, with(without(production(), "SECRET_KEY"), "SECRET_KEY_FILE", value))
		wantOnly(t, faults, "SECRET_KEY")
		wantHidden(t, "the error", faults.Error(), value)
	}
}

func TestNameAndFileTogether(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "key", goodKey)
	faults := faultsOf(t, with(production(), "SECRET_KEY_FILE", key))
	wantOnly(t, faults, "SECRET_KEY")
	if !strings.Contains(faults.Error(), "SECRET_KEY_FILE") {
		t.Errorf("error does not name SECRET_KEY_FILE: %v", faults)
	}
	yaml := writeFile(t, "c.yaml", "secret_key: "+otherKey+"\nsecret_key_file: "+key+"\n")
	wantOnly(t, faultsOf(t, with(production(), "CONFIG_FILE", yaml)), "SECRET_KEY")

	// In different sources the stronger one counts, as with any variable.
	yaml = writeFile(t, "c.yaml", "secret_key: "+otherKey+"\n")
	s := mustLoad(t, with(without(production(), "SECRET_KEY"), "CONFIG_FILE", yaml, "SECRET_KEY_FILE", key))
	if s.SecretKey.Reveal() != goodKey {
		t.Error("the environment's SECRET_KEY_FILE does not win over the file's secret_key")
	}
}
