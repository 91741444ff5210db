package fakestore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// WebhookDeliveries is the fake inbox.
type WebhookDeliveries struct{ s *Store }

// WebhookDeliveries gives the inbox, which is a Purger too.
func (s *Store) WebhookDeliveries() WebhookDeliveries { return WebhookDeliveries{s} }

// Receive stores a delivery, or replaces one that has failed or is dead.
func (f WebhookDeliveries) Receive(ctx context.Context, d domain.WebhookDelivery) (stored bool, err error) {
	err = f.s.do(ctx, "webhook_deliveries.receive", func(data *state) error {
		old, there := data.deliveries[d.ID]
		stored = !there || old.State == domain.WebhookFailed || old.State == domain.WebhookDead
		if stored {
			data.deliveries[d.ID] = d
		}
		return nil
	})
	return stored && err == nil, err
}

// Find gives the row.
func (f WebhookDeliveries) Find(ctx context.Context, id string) (d domain.WebhookDelivery, err error) {
	err = f.s.do(ctx, "webhook_deliveries.find", func(data *state) error {
		row, ok := data.deliveries[id]
		if !ok {
			return errNotFound
		}
		d = row
		return nil
	})
	return d, err
}

// Update writes how far the delivery has come.
func (f WebhookDeliveries) Update(ctx context.Context, d domain.WebhookDelivery, from ...domain.WebhookState) (updated bool, err error) {
	err = f.s.do(ctx, "webhook_deliveries.update", func(data *state) error {
		row, ok := data.deliveries[d.ID]
		updated = ok && row.ReceivedAt.Equal(d.ReceivedAt) && slices.Contains(from, row.State)
		if !updated {
			return nil
		}
		row.State, row.Reason, row.Attempts, row.UpdatedAt, row.ExpiresAt = d.State, d.Reason, d.Attempts, d.UpdatedAt, d.ExpiresAt
		if d.State.Done() {
			row.SealedData, row.SubjectHash = nil, nil
		}
		data.deliveries[d.ID] = row
		return nil
	})
	return updated && err == nil, err
}

// List gives deliveries without their data, those received last first.
func (f WebhookDeliveries) List(ctx context.Context, states []domain.WebhookState, limit int) (found []domain.WebhookDelivery, err error) {
	err = f.s.do(ctx, "webhook_deliveries.list", func(data *state) error {
		for _, d := range data.deliveries {
			if slices.Contains(states, d.State) {
				d.SealedData = nil
				found = append(found, d)
			}
		}
		return nil
	})
	slices.SortFunc(found, latestFirst)
	return found[:min(limit, len(found))], err
}

// Orphans gives deliveries without a job; here a job that was enqueued stays.
func (f WebhookDeliveries) Orphans(ctx context.Context, since time.Time, limit int) (found []domain.WebhookDelivery, err error) {
	err = f.s.do(ctx, "webhook_deliveries.orphans", func(data *state) error {
		for _, d := range data.deliveries {
			open := d.State == domain.WebhookReceived || d.State == domain.WebhookFailed
			if open && d.UpdatedAt.Before(since) && !slices.Contains(data.queuedDeliveries, d.ID) {
				d.SealedData = nil
				found = append(found, d)
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b domain.WebhookDelivery) int { return latestFirst(b, a) })
	return found[:min(limit, len(found))], err
}

// OfSubject lists the deliveries that hold data and have one of the hashes.
func (f WebhookDeliveries) OfSubject(ctx context.Context, subjectHashes []string) (found []domain.WebhookDelivery, err error) {
	err = f.s.do(ctx, "webhook_deliveries.of_subject", func(data *state) error {
		for _, d := range data.deliveries {
			if d.SealedData != nil && d.SubjectHash != nil && slices.Contains(subjectHashes, *d.SubjectHash) {
				found = append(found, d)
			}
		}
		return nil
	})
	slices.SortFunc(found, latestFirst)
	return found[:min(domain.MaxSubjectDeliveries, len(found))], err
}

func latestFirst(a, b domain.WebhookDelivery) int {
	return cmp.Or(b.ReceivedAt.Compare(a.ReceivedAt), cmp.Compare(a.ID, b.ID))
}

// Forget clears the data of every delivery that has one of the hashes.
func (f WebhookDeliveries) Forget(ctx context.Context, subjectHashes []string, at time.Time) error {
	return f.s.do(ctx, "webhook_deliveries.forget", func(data *state) error {
		for id, d := range data.deliveries {
			if d.SealedData != nil && d.SubjectHash != nil && slices.Contains(subjectHashes, *d.SubjectHash) {
				data.deliveries[id] = d.Settled(domain.WebhookIgnored, domain.WebhookReasonErased, at)
			}
		}
		return nil
	})
}

// PurgeExpired removes deliveries whose retention is over, the oldest first.
func (f WebhookDeliveries) PurgeExpired(ctx context.Context, at time.Time, limit int) (n int, err error) {
	err = f.s.do(ctx, "webhook_deliveries.purge", func(data *state) error {
		var over []domain.WebhookDelivery
		for _, d := range data.deliveries {
			if d.ExpiresAt != nil && !d.ExpiresAt.After(at) {
				over = append(over, d)
			}
		}
		slices.SortFunc(over, func(a, b domain.WebhookDelivery) int { return a.ExpiresAt.Compare(*b.ExpiresAt) })
		for _, d := range over[:min(limit, len(over))] {
			delete(data.deliveries, d.ID)
			n++
		}
		return nil
	})
	return n, err
}

// EnqueueWebhookDelivery refuses to work outside of a transaction.
func (f JobQueue) EnqueueWebhookDelivery(ctx context.Context, id string) error {
	if ctx.Value(txKey{}) != f.s {
		return errNoTransaction
	}
	return f.s.do(ctx, "jobs.enqueue", func(data *state) error {
		data.queuedDeliveries = append(data.queuedDeliveries, id)
		return nil
	})
}

// QueuedDeliveries lists the deliveries for which there is a job, oldest first.
func (s *Store) QueuedDeliveries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.data.queuedDeliveries)
}

// LoseDeliveryJobs takes the jobs of deliveries away, as if River had given them up.
func (s *Store) LoseDeliveryJobs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.queuedDeliveries = nil
}
