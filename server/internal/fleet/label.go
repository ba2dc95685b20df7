package fleet

import (
	"context"
	"errors"
	"maps"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// LabelJudge judges whether labels give access that whoever made the join token, as they are by now, may not grant. It
// calls store with the grant by which they do, empty: they do not, and lets no grant change until store has returned:
// otherwise a grant that is made in between reaches a host of which nobody asked its maker.
type LabelJudge func(maker string, labels map[string]string, store func(widened string) error) error

// noJudge lets no host join: that nobody asks must not pass for leave.
func noJudge(string, map[string]string, func(string) error) error {
	return errors.New("no host can join: nothing judges the labels of join tokens")
}

// JudgeJoins sets who is asked about the labels of a token before a host joins with it. It is called before serving
// starts; without it none joins.
func (f *Fleet) JudgeJoins(judge LabelJudge) { f.judgeLabels = judge }

// Label lays labels over those of a host that is as it was at that revision; an empty text removes one. Whether that
// gives the host what it could not have before is for judge: it gets the host before and after, and calls store, as a
// LabelJudge does, or ends the change with its error.
func (f *Fleet) Label(ctx context.Context, who grant.Person, id string, revision uint64, labels map[string]string, judge func(before, after grant.Host, store func() error) error) (h Host, err error) {
	if err := f.lockChanges(ctx); err != nil {
		return Host{}, err
	}
	defer func() {
		f.unlockChanges()
		if err == nil {
			f.changed(id)
		}
	}()
	h, err = f.Get(id)
	if err != nil {
		return Host{}, err
	}
	if revision != 0 && revision != h.Revision {
		return Host{}, ErrChanged
	}
	if !h.Revoked.IsZero() {
		return Host{}, ErrRevoked
	}
	before := h.Caller()
	h.Labels = map[string]string{}
	maps.Copy(h.Labels, before.Labels)
	maps.Copy(h.Labels, labels)
	maps.DeleteFunc(h.Labels, func(_, text string) bool { return text == "" })
	if err := credential.ValidTags("label", h.Labels); err != nil {
		return Host{}, err
	}
	h.Revision++
	entry := audit.Entry{Actor: who.Name, Action: "host.label", Outcome: audit.Allowed, Reason: labelText(before.Labels, h.Labels)}
	return h, judge(before, h.Caller(), func() error { return f.store(ctx, h, entry, nil) })
}
