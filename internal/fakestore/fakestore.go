// Package fakestore keeps the entities in memory, for tests of use cases and
// handlers. It satisfies the same contract suite as the real store
// (internal/storetest); its transactions really roll back.
package fakestore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Store holds everything. One transaction runs at a time, and nothing else
// beside it: a query that forgets the transaction's context waits for ever, so
// that its test shows it.
type Store struct {
	mu   sync.Mutex
	data state
	// Fail, when set, is asked before each operation (such as profiles.insert,
	// commit) and its error returned instead. Set it before the store is used.
	Fail func(operation string) error
}

type state struct {
	profiles     map[string]domain.Profile // by id
	preferences  map[string]domain.Preferences
	events       []domain.AuditEvent
	reservations map[string]reservation
	erased       map[string]bool
	kept         map[string]domain.IdempotencyRecord // by key hash
	deletions    map[string]domain.ClerkDeletion     // by id
	queued       []string                            // ids of deletions that a job was enqueued for
	refreshes    []QueuedRefresh
	outbox       []outboxRow // in the order of changes
	lastSeq      int64       // of the outbox

	deliveries       map[string]domain.WebhookDelivery // by id
	queuedDeliveries []string                          // ids of those that a job was enqueued for
	reconcile        reconcileState
}

type reservation struct {
	profileID string
	until     time.Time
}

func (s state) clone() state {
	return state{
		maps.Clone(s.profiles), maps.Clone(s.preferences), slices.Clone(s.events), maps.Clone(s.reservations), maps.Clone(s.erased),
		maps.Clone(s.kept),
		maps.Clone(s.deletions), slices.Clone(s.queued), slices.Clone(s.refreshes),
		slices.Clone(s.outbox), s.lastSeq,
		maps.Clone(s.deliveries), slices.Clone(s.queuedDeliveries),
		s.reconcile.clone(),
	}
}

// New makes an empty store.
func New() *Store {
	return &Store{data: state{
		map[string]domain.Profile{}, map[string]domain.Preferences{}, nil, map[string]reservation{}, map[string]bool{},
		map[string]domain.IdempotencyRecord{},
		map[string]domain.ClerkDeletion{}, nil, nil,
		nil, 0,
		map[string]domain.WebhookDelivery{}, nil,
		reconcileState{seen: map[string]map[string]bool{}},
	}}
}

// Deps wires the store into the profile use case.
func (s *Store) Deps(clock usecase.Clock, hashes domain.Pseudonymizer) usecase.ProfilesDeps {
	return usecase.ProfilesDeps{
		Tx: s, Profiles: Profiles{s}, Finder: Profiles{s}, Eraser: Profiles{s}, Mirror: Profiles{s}, Preferences: Preferences{s}, Audit: AuditLog{s},
		Events: s.Outbox("sink"), Reservations: HandleReservations{s}, Identities: Identities{s}, Responses: Idempotency{s}, Queue: JobQueue{s},
		Deliveries: WebhookDeliveries{s}, Clock: clock, Hashes: hashes,
	}
}

// IdempotencyDeps wires the store into the idempotency use case.
func (s *Store) IdempotencyDeps(clock usecase.Clock, hashes domain.Pseudonymizer) usecase.IdempotencyDeps {
	return usecase.IdempotencyDeps{Tx: s, Store: Idempotency{s}, Clock: clock, Hashes: hashes}
}

type txKey struct{}

// WithinTx runs fn; an error or a panic brings back what was there before.
func (s *Store) WithinTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if ctx.Value(txKey{}) == s {
		return fn(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.data.clone()
	committed := false
	defer func() {
		if !committed {
			s.data = before
		}
	}()
	if err := fn(context.WithValue(ctx, txKey{}, s)); err != nil {
		return err
	}
	if err := s.begin(ctx, "commit"); err != nil {
		return err
	}
	committed = true
	return nil
}

// begin is how each operation starts.
func (s *Store) begin(ctx context.Context, operation string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Fail != nil {
		return s.Fail(operation)
	}
	return nil
}

// do runs one operation, in the transaction of ctx or as one of its own.
func (s *Store) do(ctx context.Context, operation string, fn func(d *state) error) error {
	if ctx.Value(txKey{}) != s {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	if err := s.begin(ctx, operation); err != nil {
		return err
	}
	return fn(&s.data)
}

// Counts tells how many rows of each kind there are.
func (s *Store) Counts() (profiles, preferences, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data.profiles), len(s.data.preferences), len(s.data.events)
}

// Events lists the audit trail, oldest first.
func (s *Store) Events() []domain.AuditEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.data.events)
}

// PutProfile writes a profile as it is: for what no use case would write.
func (s *Store) PutProfile(p domain.Profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.profiles[p.ID] = clone(&p)
}

// MarkErased marks an identity's hash.
func (s *Store) MarkErased(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.erased[hash] = true
}
