package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

func profileByID(t *testing.T, s Stores) {
	ctx := background(t)
	p := fullProfile()
	_, err := s.Deps.Profiles.Insert(ctx, p)
	must(t, err)
	for _, id := range []string{p.ID, strings.ToUpper(p.ID)} {
		got, err := s.Deps.Finder.ByID(ctx, id)
		must(t, err)
		same(t, got, p)
		got, err = s.Deps.Finder.ByIDForUpdate(ctx, id)
		must(t, err)
		same(t, got, p)
	}
	_, err = s.Deps.Finder.ByID(ctx, domain.NewID(Now))
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	_, err = s.Deps.Finder.ByIDForUpdate(ctx, domain.NewID(Now))
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
}

func profileBatch(t *testing.T, s Stores) {
	ctx := background(t)
	full, other := fullProfile(), Profile(Handle())
	for _, p := range []*domain.Profile{full, other} {
		_, err := s.Deps.Profiles.Insert(ctx, p)
		must(t, err)
	}
	want := *full // and nothing that the public may not read
	want.Email, want.Locale, want.TimeZone, want.SuspendedReason, want.ClerkUpdatedAt = nil, nil, nil, nil, nil
	want.Metadata, want.AppMetadata, want.Version = nil, nil, 0
	byHandle, err := s.Deps.Finder.PublicByHandles(ctx, []string{"nobody_here", domain.HandleKey(full.Handle), "' OR 1=1"})
	must(t, err)
	byID, err := s.Deps.Finder.PublicByIDs(ctx, []string{domain.NewID(Now), full.ID})
	must(t, err)
	for _, got := range [][]domain.Profile{byHandle, byID} {
		if len(got) != 1 || fmt.Sprintf("%+v", deref(got[0])) != fmt.Sprintf("%+v", deref(want)) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	none, err := s.Deps.Finder.PublicByHandles(ctx, []string{})
	if err != nil || len(none) != 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
}

// deref makes what pointers point to comparable by its print.
func deref(p domain.Profile) []any {
	text := func(s *string) string {
		if s == nil {
			return "<nil>"
		}
		return *s
	}
	until := "<nil>"
	if p.SuspendedUntil != nil {
		until = p.SuspendedUntil.String()
	}
	return []any{
		p.ID, p.ClerkUserID, text(p.Email), p.Handle, text(p.DisplayName), text(p.Bio), text(p.AvatarURL), text(p.BannerURL), text(p.Location),
		p.Links, text(p.ThemeColor), text(p.Locale), text(p.TimeZone), p.Visibility, p.Status, text(p.SuspendedReason), until,
		string(p.Metadata), string(p.AppMetadata), p.Version, p.ClerkUpdatedAt == nil, p.CreatedAt, p.UpdatedAt,
	}
}

// crowd is seven people a minute apart, the last two at one moment.
func crowd(t *testing.T, s Stores) []*domain.Profile {
	t.Helper()
	text := func(v string) *string { return &v }
	until := Now.Add(time.Hour)
	people := make([]*domain.Profile, 7)
	for i, handle := range []string{"Bravo_1", "alpha", "alpha_2", "ALPHA_x", "delta", "echo", "foxtrot"} {
		people[i] = domain.NewProfile("user_Crowd"+fmt.Sprint(i), handle, Now.Add(time.Duration(min(i, 5))*time.Minute))
	}
	people[0].DisplayName, people[1].DisplayName = text("Élodie"), text("élan vital")
	people[2].Email, people[3].Email = text("Alice@example.org"), text("bob@example.org")
	people[4].DisplayName, people[5].DisplayName = text("50%_off"), text("50 off")
	people[5].Status, people[5].SuspendedUntil = domain.StatusSuspended, &until
	people[6].Status = domain.StatusSuspended
	for _, p := range people {
		_, err := s.Deps.Profiles.Insert(background(t), p)
		must(t, err)
	}
	return people
}

func handles(list []domain.Profile) string {
	var names []string
	for _, p := range list {
		names = append(names, p.Handle)
	}
	return strings.Join(names, " ")
}

func profileSearch(t *testing.T, s Stores) {
	ctx := background(t)
	people := crowd(t, s)
	last := people[5].Handle + " " + people[6].Handle // one moment: the id decides
	if people[5].ID > people[6].ID {
		last = people[6].Handle + " " + people[5].Handle
	}
	oldest := "Bravo_1 alpha alpha_2 ALPHA_x delta " + last
	newest := strings.Fields(oldest)
	slices.Reverse(newest)
	at := func(d time.Duration) *time.Time { v := Now.Add(d); return &v }
	for name, c := range map[string]struct {
		filter domain.ProfileFilter
		now    time.Time
		want   string
	}{
		"all":               {domain.ProfileFilter{}, Now, strings.Join(newest, " ")},
		"newest first":      {domain.ProfileFilter{Sort: domain.SortNewestFirst}, Now, strings.Join(newest, " ")},
		"oldest first":      {domain.ProfileFilter{Sort: domain.SortOldestFirst}, Now, oldest},
		"by handle":         {domain.ProfileFilter{Sort: domain.SortHandle}, Now, "alpha alpha_2 ALPHA_x Bravo_1 delta echo foxtrot"},
		"handle prefix":     {domain.ProfileFilter{Text: "aLPha", Sort: domain.SortOldestFirst}, Now, "alpha alpha_2 ALPHA_x"},
		"underscore":        {domain.ProfileFilter{Text: "alpha_", Sort: domain.SortHandle}, Now, "alpha_2 ALPHA_x"},
		"not an infix":      {domain.ProfileFilter{Text: "lpha"}, Now, ""},
		"name, accents":     {domain.ProfileFilter{Text: "ÉL", Sort: domain.SortHandle}, Now, "alpha Bravo_1"},
		"e-mail and handle": {domain.ProfileFilter{Text: "al", Sort: domain.SortHandle}, Now, "alpha alpha_2 ALPHA_x"},
		"e-mail":            {domain.ProfileFilter{Text: "BOB@"}, Now, "ALPHA_x"},
		"per cent":          {domain.ProfileFilter{Text: "50%"}, Now, "delta"},
		"per cent alone":    {domain.ProfileFilter{Text: "%"}, Now, ""},
		"backslash":         {domain.ProfileFilter{Text: `\`}, Now, ""},
		"quote":             {domain.ProfileFilter{Text: `' OR ''='`}, Now, ""},
		"Clerk id":          {domain.ProfileFilter{Text: "user_Crowd3"}, Now, "ALPHA_x"},
		"Clerk id, part":    {domain.ProfileFilter{Text: "user_Crowd"}, Now, ""},
		"Clerk id, case":    {domain.ProfileFilter{Text: "user_crowd3"}, Now, ""},
		"suspended":         {domain.ProfileFilter{Status: domain.StatusSuspended, Sort: domain.SortHandle}, Now, "echo foxtrot"},
		"suspension ended":  {domain.ProfileFilter{Status: domain.StatusSuspended, Sort: domain.SortHandle}, Now.Add(time.Hour), "foxtrot"},
		"active":            {domain.ProfileFilter{Status: domain.StatusActive, Text: "e", Sort: domain.SortHandle}, Now, ""},
		"active again":      {domain.ProfileFilter{Status: domain.StatusActive, Text: "e", Sort: domain.SortHandle}, Now.Add(time.Hour), "echo"},
		"range": {
			domain.ProfileFilter{CreatedAfter: at(time.Minute), CreatedBefore: at(3 * time.Minute), Sort: domain.SortOldestFirst}, Now, "alpha alpha_2",
		},
		"empty range": {domain.ProfileFilter{CreatedAfter: at(time.Hour)}, Now, ""},
	} {
		for size := range 8 { // in pages of every size the same
			if got := handles(walk(t, s, c.filter, size+1, c.now)); got != c.want {
				t.Errorf("%s, pages of %d: %q, want %q", name, size+1, got, c.want)
			}
		}
	}
	p, err := s.Deps.Finder.Search(ctx, domain.ProfileFilter{Text: "user_Crowd3"}, nil, 1, Now)
	must(t, err)
	same(t, &p[0], people[3]) // whole rows
}

func walk(t *testing.T, s Stores, f domain.ProfileFilter, size int, now time.Time) []domain.Profile {
	t.Helper()
	var all []domain.Profile
	var after *domain.ProfilePosition
	for range 20 {
		page, err := s.Deps.Finder.Search(background(t), f, after, size, now)
		must(t, err)
		all = append(all, page...)
		if len(page) < size {
			return all
		}
		at := domain.PositionOf(&page[len(page)-1])
		after = &at
	}
	t.Fatal("the pages do not end")
	return nil
}

// Rows that come and go elsewhere neither repeat nor hide a row.
func profileSearchStability(t *testing.T, s Stores) {
	ctx := background(t)
	for _, sort := range []domain.ProfileSort{domain.SortOldestFirst, domain.SortNewestFirst, domain.SortHandle} {
		prefix := strings.NewReplacer("_", "", "-", "").Replace(string(sort))
		text := prefix + "_"
		var kept []string
		for i := range 30 {
			p := domain.NewProfile("user_"+text+fmt.Sprint(i), fmt.Sprintf("%s%02d", text, i), Now.Add(time.Duration(i)*time.Second))
			_, err := s.Deps.Profiles.Insert(ctx, p)
			must(t, err)
			kept = append(kept, p.Handle)
		}
		seen := map[string]int{}
		var after *domain.ProfilePosition
		for n := 0; ; n++ {
			page, err := s.Deps.Finder.Search(ctx, domain.ProfileFilter{Text: text, Sort: sort}, after, 4, Now)
			must(t, err)
			for _, p := range page {
				seen[p.Handle]++
			}
			if len(page) < 4 {
				break
			}
			at := domain.PositionOf(&page[3])
			after = &at
			// The row the cursor stands on goes, and new ones come on both sides.
			if n == 2 {
				must(t, s.Deps.Eraser.Delete(ctx, page[3].ID))
			}
			for side, when := range []time.Time{Now.Add(-time.Hour), Now.Add(time.Hour)} {
				p := domain.NewProfile(fmt.Sprintf("user_%s%d_%d", text, n, side), fmt.Sprintf("%s%c_%d", text, "0z"[side], n), when)
				_, err := s.Deps.Profiles.Insert(ctx, p)
				must(t, err)
			}
		}
		for _, h := range kept {
			if seen[h] != 1 {
				t.Errorf("%s: %s was seen %d times", sort, h, seen[h])
			}
		}
	}
}

func preferencesUpdate(t *testing.T, s Stores) {
	ctx := background(t)
	owner := Profile(Handle())
	_, err := s.Deps.Profiles.Insert(ctx, owner)
	must(t, err)
	_, err = s.Deps.Preferences.ByProfileID(ctx, owner.ID)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	p := domain.DefaultPreferences(owner.ID, Now)
	must(t, s.Deps.Preferences.Insert(ctx, p))
	language := "pt-BR"
	p.Theme, p.ContentLanguage, p.ReducedMotion = domain.ThemeDark, &language, true
	p.EmailNotifications = domain.EmailNotifications{Product: true, Digest: true}
	p.Version, p.UpdatedAt = 2, Now.Add(time.Minute)
	must(t, s.Deps.Preferences.Update(ctx, p))
	for range 2 {
		got, err := s.Deps.Preferences.ByProfileID(ctx, owner.ID)
		must(t, err)
		if fmt.Sprint(*got.ContentLanguage) != language || got.EmailNotifications != p.EmailNotifications || got.Theme != p.Theme ||
			!got.ReducedMotion || got.Version != 2 || !got.UpdatedAt.Equal(p.UpdatedAt) || !got.CreatedAt.Equal(Now) {
			t.Errorf("%+v", got)
		}
		wantKind(t, s.Deps.Preferences.Update(ctx, p), domain.Conflict, domain.CodeConflict) // stale
	}
	p.ContentLanguage, p.ReducedMotion, p.Version = nil, false, 3
	must(t, s.Deps.Preferences.Update(ctx, p))
	got, err := s.Deps.Preferences.ByProfileID(ctx, owner.ID)
	must(t, err)
	if got.ContentLanguage != nil || got.ReducedMotion {
		t.Errorf("not cleared: %+v", got)
	}
	must(t, s.Deps.Eraser.Delete(ctx, owner.ID))
	_, err = s.Deps.Preferences.ByProfileID(ctx, owner.ID)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	_, err = s.Deps.Finder.ByID(ctx, owner.ID)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	must(t, s.Deps.Eraser.Delete(ctx, owner.ID)) // gone is gone
}

func auditList(t *testing.T, s Stores) {
	ctx := background(t)
	ada, bob, boss := domain.NewID(Now), domain.NewID(Now), domain.NewID(Now)
	event := func(i int, profile, actor string, action domain.AuditAction) {
		caller := domain.Caller{RequestID: fmt.Sprint("r", i)}
		e := domain.OwnAuditEvent(action, profile, caller, Hashes, []string{"bio"}, Now.Add(time.Duration(i/2)*time.Minute))
		e.ActorID = &actor
		must(t, s.Deps.Audit.Append(ctx, e))
	}
	event(0, ada, ada, domain.ActionProfileCreated)
	event(2, bob, bob, domain.ActionProfileCreated)
	event(4, ada, boss, domain.ActionProfileSuspended)
	event(6, ada, ada, domain.ActionProfileUpdated)
	event(8, bob, boss, domain.ActionProfileSuspended)
	at := func(d time.Duration) *time.Time { v := Now.Add(d); return &v }
	for name, c := range map[string]struct {
		filter domain.AuditFilter
		want   string
	}{
		"all":     {domain.AuditFilter{}, "r8 r6 r4 r2 r0"},
		"profile": {domain.AuditFilter{ProfileID: ada}, "r6 r4 r0"},
		"actor":   {domain.AuditFilter{ActorID: boss}, "r8 r4"},
		"action":  {domain.AuditFilter{Action: domain.ActionProfileCreated}, "r2 r0"},
		"range":   {domain.AuditFilter{Since: at(time.Minute), Until: at(3 * time.Minute)}, "r4 r2"},
		"several": {domain.AuditFilter{ProfileID: bob, ActorID: boss, Action: domain.ActionProfileSuspended, Since: at(0)}, "r8"},
		"none":    {domain.AuditFilter{ProfileID: domain.NewID(Now)}, ""},
	} {
		for size := 1; size < 7; size++ {
			var got []string
			var after *domain.AuditPosition
			for {
				page, err := s.Deps.Audit.List(ctx, c.filter, after, size)
				must(t, err)
				for _, e := range page {
					got = append(got, e.RequestID)
				}
				if len(page) < size {
					break
				}
				end := page[len(page)-1]
				after = &domain.AuditPosition{OccurredAt: end.OccurredAt, ID: end.ID}
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("%s, pages of %d: %q, want %q", name, size, g, c.want)
			}
		}
	}
}
