package vault_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// step does one thing to both.
func (h *history) step() (what, got, want string) {
	who := pick(h, persons)
	ctx, p := h.t.Context(), h.person(who)
	switch h.random.IntN(20) {
	case 0, 1:
		return h.stepAdd(who)
	case 2, 3, 4:
		return h.stepEdit(who)
	case 5:
		ref, to := h.ownRef(who), h.random.IntN(5)
		revision := h.revisionOf(ref)
		_, err := h.Rollback(ctx, p, ref, uint64(to), revision)
		return fmt.Sprintf("%s rolls %s back to %d", who, ref, to), h.answer(err), h.rollback(who, ref, to, revision)
	case 6, 7:
		ref, cut := h.ownRef(who), h.chance(50)
		revision := h.revisionOf(ref)
		do := h.Connect
		if cut {
			do = h.Disconnect
		}
		_, err := do(ctx, p, ref, revision)
		return fmt.Sprintf("%s disconnects %s: %t", who, ref, cut), h.answer(err), h.cut(who, ref, cut, revision)
	case 8:
		ref := h.ownRef(who)
		revision := h.revisionOf(ref)
		_, _, err := h.Delete(ctx, p, ref, revision)
		return fmt.Sprintf("%s deletes %s", who, ref), h.answer(err), h.remove(who, ref, revision)
	case 9:
		return h.stepTransfer(who)
	case 10, 11, 12, 13:
		return h.stepGrant(who)
	case 14, 15, 16, 17:
		return h.stepRequest(who)
	}
	return h.stepWorld(who)
}

func (h *history) stepAdd(who string) (what, got, want string) {
	name, app, token, tags, isDefault := pick(h, names), pick(h, apps), h.token(), h.tags(), h.chance(30)
	if h.chance(60) && slices.Contains([]string{"admin", "dev"}, who) {
		name = who + "/" + pick(h, []string{"x", "y"})
	}
	custom := strings.Contains(name, "/")
	requestable := custom && h.chance(80) || h.chance(3)
	isDefault = isDefault && (!custom || h.chance(5))
	said, fields := h.said()
	ch := vault.Change{Value: h.value(map[string]string{"token": token}), Fields: fields, Expires: said.end, Tags: tags, Default: &isDefault, Requestable: &requestable}
	if !custom {
		ch.Application, ch.AuthType = app, credential.AccessToken
	} else {
		app = ""
	}
	_, err := h.Add(h.t.Context(), h.person(who), name, ch)
	return fmt.Sprintf("%s adds %s", who, name), h.answer(err), h.add(who, name, app, token, tags, isDefault, requestable, said)
}

func (h *history) stepEdit(who string) (what, got, want string) {
	ref, tags, isDefault, requestable, token := h.ownRef(who), h.tags(), h.maybe(), h.maybe(), ""
	if strings.Contains(ref, "/") && h.chance(90) {
		isDefault = nil
	} else if h.chance(90) {
		requestable = nil
	}
	if h.chance(30) {
		tags["env"] = ""
	}
	revision := h.revisionOf(ref)
	said, fields := h.said()
	ch := vault.Change{Fields: fields, Expires: said.end, Tags: tags, Default: isDefault, Requestable: requestable, Revision: revision}
	if h.chance(50) {
		token = h.token()
		ch.Value = h.value(map[string]string{"token": token})
	}
	_, _, err := h.Edit(h.t.Context(), h.person(who), ref, ch)
	return fmt.Sprintf("%s edits %s", who, ref), h.answer(err), h.change(who, ref, token, tags, isDefault, requestable, revision, said)
}

func (h *history) stepTransfer(who string) (what, got, want string) {
	ref, to, gone := pick(h, refs[2:]), pick(h, []string{"admin", "dev", "second"}), h.chance(70)
	if h.chance(60) {
		ref, to = "dev/x", "second" // so that two people come to want the same
		who = pick(h, []string{"admin", "second"})
	}
	done, err := h.Transfer(h.t.Context(), h.person(who), ref, receiver(to, gone))
	if got = h.answer(err); done.Waiting {
		got = "waiting"
	}
	return fmt.Sprintf("%s transfers %s to %s", who, ref, to), got, h.transfer(who, ref, to, gone)
}

func (h *history) stepGrant(who string) (what, got, want string) {
	name := pick(h, grantsN)
	if h.chance(15) {
		err := h.RevokeGrant(h.t.Context(), h.person(who), name)
		return who + " revokes grant " + name, h.answer(err), h.revokeGrant(who, name)
	}
	var named []string
	for len(named) == 0 || h.chance(40) {
		named = append(named, h.ownRef(who))
	}
	m := mGrant{tags: some(h, labels), hosts: some(h, hosts), labels: some(h, labels), use: h.chance(20)}
	if h.chance(50) {
		m.tags = nil
	}
	if h.chance(30) {
		m.users = []string{pick(h, []string{"etl", "other"})}
	}
	if h.chance(30) {
		m.until = h.now.Add(time.Duration(1+h.random.IntN(100)) * time.Hour)
	}
	g := grant.Grant{Name: name, Credentials: slices.Clone(named), Tags: m.tags, Hosts: m.hosts, HostLabels: m.labels, Conditions: grant.Conditions{
		Jobs: grant.Jobs{JobUsers: m.users}, Access: grant.Read, Until: m.until}}
	if m.use {
		g.Access = grant.Use
	}
	if h.chance(40) {
		revision := uint64(h.random.IntN(3))
		_, err := h.EditGrant(h.t.Context(), h.person(who), g, revision)
		return fmt.Sprintf("%s edits grant %s for %v", who, name, named), h.answer(err), h.editGrant(who, name, named, m, revision)
	}
	// The model has one grant of a name. That others' hidden ones leave it free is TestGrantNamesOfOthersAreFree's.
	if hidden := h.model.grants[name]; hidden != nil && !h.seesGrant(who, hidden) {
		name = who + "-" + name
		g.Name = name
	}
	_, err := h.AddGrant(h.t.Context(), h.person(who), g)
	return fmt.Sprintf("%s adds grant %s for %v", who, name, named), h.answer(err), h.addGrant(who, name, named, m)
}

func (h *history) stepRequest(who string) (what, got, want string) {
	ctx, p := h.t.Context(), h.person(who)
	if h.chance(40) {
		ref, host, use := pick(h, refs[2:]), pick(h, []string{"", "h1", "h2"}), h.chance(30)
		if h.chance(70) {
			ref = pick(h, []string{"dev/x", "dev/y", "admin/x", "admin/y"})
		}
		r := vault.Request{Reason: "need", Access: grant.Read, Host: host}
		if use {
			r.Access = grant.Use
		}
		_, err := h.MakeRequest(ctx, p, ref, r)
		return fmt.Sprintf("%s requests %s on %q", who, ref, host), h.answer(err), h.makeRequest(who, ref, host, use)
	}
	number := max(1, len(h.model.requests)-h.random.IntN(5))
	if r := h.model.requests; number <= len(r) && r[number-1].of != nil && h.chance(60) {
		who = r[number-1].of.owner
		p = h.person(who)
	}
	switch h.random.IntN(4) {
	case 0:
		_, err := h.Deny(ctx, p, uint64(number))
		return fmt.Sprintf("%s denies %d", who, number), h.answer(err), h.decide(who, number, time.Time{})
	case 1:
		_, err := h.RevokeRequest(ctx, p, uint64(number))
		return fmt.Sprintf("%s revokes %d", who, number), h.answer(err), h.revokeRequest(who, number)
	}
	until := h.now.Add(time.Duration(1+h.random.IntN(200)) * time.Hour)
	_, err := h.Approve(ctx, p, uint64(number), until)
	return fmt.Sprintf("%s approves %d", who, number), h.answer(err), h.decide(who, number, until)
}

// stepWorld changes what surrounds the vault: hosts, passwords, the time, the process.
func (h *history) stepWorld(who string) (what, got, want string) {
	switch h.random.IntN(4) {
	case 0:
		host, to := pick(h, hosts), h.tags()
		before, after := grant.Host{ID: host, Labels: h.model.hosts[host]}, grant.Host{ID: host, Labels: to}
		_, err := h.WidensHost(h.person(who), before, after)
		return fmt.Sprintf("%s labels %s %v", who, host, to), h.answer(err), h.label(who, host, to)
	case 1:
		if h.chance(30) {
			h.people[who].reset = h.now
		}
		return who + "'s password is reset", "ok", "ok"
	case 2:
		h.clock.Add(time.Duration(1+h.random.IntN(30)) * time.Hour)
		h.now = h.clock.At
		return "time passes", "ok", "ok"
	}
	h.zone = pick(h, zones)
	h.openAgain()
	return "the vault is opened again, with the zone " + h.zone, "ok", "ok"
}

// receiver is of a credential whose owner has been gone for long, or is there.
func receiver(to string, gone bool) vault.Receiver {
	r := vault.Receiver{ID: "id-" + to, Name: to}
	if gone {
		r.OwnerGone = time.Unix(0, 0)
	}
	return r
}
