package main

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// objectStore is as much of S3's API as pgBackRest uses, in memory and behind TLS, in place of a bucket that costs money and
// needs a network (https://docs.aws.amazon.com/AmazonS3/latest/API/). Buckets are named in the path. It knows no signatures,
// and refuses who does not name its key.
type objectStore struct {
	bucket, key string
	server      *http.Server
	port        string

	mu      sync.Mutex
	objects map[string]stored
	uploads map[string]map[int][]byte // the parts of each upload that is under way, by its number
	begun   int                       // uploads
}

type stored struct {
	data    []byte
	written time.Time
}

// page is how many keys S3 lists at once.
const page = 1000

func newObjectStore(certificate tls.Certificate, bucket, key string) (*objectStore, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &objectStore{bucket: bucket, key: key, objects: map[string]stored{}, uploads: map[string]map[int][]byte{}}
	if _, s.port, err = net.SplitHostPort(listener.Addr().String()); err != nil {
		return nil, err
	}
	s.server = &http.Server{
		Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = s.server.ServeTLS(listener, "", "") }() // ends when it is closed
	return s, nil
}

func (s *objectStore) close(context.Context) error { return s.server.Close() }

// size is of all that is stored, in bytes.
func (s *objectStore) size() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objects {
		sum += int64(len(o.data))
	}
	return sum
}

func (s *objectStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, ours := strings.CutPrefix(r.URL.Path, "/"+s.bucket)
	key = strings.TrimPrefix(key, "/")
	switch body, err := io.ReadAll(r.Body); {
	case err != nil:
		http.Error(w, "the body broke off", http.StatusBadRequest)
	case !strings.Contains(r.Header.Get("Authorization"), "Credential="+s.key+"/"):
		http.Error(w, "another key", http.StatusForbidden)
	case !ours:
		http.Error(w, "another bucket", http.StatusNotFound)
	default:
		s.answer(w, r, key, body)
	}
}

func (s *objectStore) answer(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		s.list(w, query.Get("prefix"), query.Get("delimiter"), query.Get("continuation-token"))
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if o, there := s.objects[key]; there {
			http.ServeContent(w, r, "", o.written, strings.NewReader(string(o.data)))
			return
		}
		http.NotFound(w, r)
	case r.Method == http.MethodPut && query.Has("uploadId"):
		s.part(w, query.Get("uploadId"), query.Get("partNumber"), body)
	case r.Method == http.MethodPut:
		s.put(w, key, body)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost && query.Has("uploads"):
		s.begun++
		id := strconv.Itoa(s.begun)
		s.uploads[id] = map[int][]byte{}
		reply(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadId string   //nolint:revive // the name in the answer
		}{UploadId: id})
	case r.Method == http.MethodPost && query.Has("uploadId"):
		s.complete(w, key, query.Get("uploadId"))
	case r.Method == http.MethodPost && query.Has("delete"):
		s.remove(w, body)
	default:
		http.Error(w, "not known here", http.StatusNotImplemented)
	}
}

func reply(w http.ResponseWriter, answer any) {
	text, err := xml.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(append([]byte(xml.Header), text...)) // who is gone cannot be told
}

type listed struct {
	Key, LastModified string
	Size              int
}

type prefix struct{ Prefix string }

func (s *objectStore) list(w http.ResponseWriter, begin, delimiter, after string) {
	answer := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []listed
		CommonPrefixes        []prefix
	}{}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		rest, within := strings.CutPrefix(key, begin)
		if !within || key <= after {
			continue
		}
		if len(answer.Contents)+len(answer.CommonPrefixes) == page {
			answer.IsTruncated = true
			break
		}
		answer.NextContinuationToken = key
		if folder, _, deeper := strings.Cut(rest, delimiter); delimiter != "" && deeper {
			if one := (prefix{begin + folder + delimiter}); !slices.Contains(answer.CommonPrefixes, one) {
				answer.CommonPrefixes = append(answer.CommonPrefixes, one)
			}
			continue
		}
		o := s.objects[key]
		answer.Contents = append(answer.Contents, listed{key, o.written.UTC().Format("2006-01-02T15:04:05.000Z"), len(o.data)})
	}
	if !answer.IsTruncated {
		answer.NextContinuationToken = ""
	}
	reply(w, answer)
}

func (s *objectStore) put(w http.ResponseWriter, key string, body []byte) {
	s.objects[key] = stored{body, time.Now()}
	w.Header().Set("ETag", `"whole"`)
}

func (s *objectStore) part(w http.ResponseWriter, upload, number string, body []byte) {
	n, err := strconv.Atoi(number)
	if err != nil || s.uploads[upload] == nil {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	s.uploads[upload][n] = body
	w.Header().Set("ETag", `"part-`+number+`"`)
}

func (s *objectStore) complete(w http.ResponseWriter, key, upload string) {
	parts := s.uploads[upload]
	if len(parts) == 0 {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	var whole []byte
	for _, n := range slices.Sorted(maps.Keys(parts)) {
		whole = append(whole, parts[n]...)
	}
	delete(s.uploads, upload)
	s.objects[key] = stored{whole, time.Now()}
	reply(w, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string
	}{ETag: `"whole"`})
}

func (s *objectStore) remove(w http.ResponseWriter, body []byte) {
	var asked struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(body, &asked); err != nil {
		http.Error(w, errors.Join(errors.New("no list of keys"), err).Error(), http.StatusBadRequest)
		return
	}
	for _, o := range asked.Object {
		delete(s.objects, o.Key)
	}
	reply(w, struct {
		XMLName xml.Name `xml:"DeleteResult"`
	}{})
}
