package server

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/vault"
)

// id is the credential's, by its name.
func (v *small) id(name string) string {
	for _, c := range v.answers.Credentials {
		if c.Name == name {
			return c.ID
		}
	}
	panic("no credential " + name)
}

// of is the one record of a kind.
func (v *small) of(kind string) string {
	for _, key := range v.keys {
		if strings.HasPrefix(key, kind+"/") {
			return key
		}
	}
	panic("no record of kind " + kind)
}

// TestTamperedRecords changes records as somebody can who has the file and knows its format, but no key.
func TestTamperedRecords(t *testing.T) {
	t.Parallel()
	v, other := newSmall(t), newSmall(t)
	now, before := readStore(t, v.path(storeFile)), readStore(t, filepath.Join(v.older, vaultFolder, storeFile))
	foreign := readStore(t, other.path(storeFile))
	crm, erp, payroll := v.id("crm"), v.id("erp"), v.id("admin/payroll")
	type records = map[string]string
	swap := func(r records, a, b string) { r[a], r[b] = r[b], r[a] }
	for what, tc := range map[string]struct {
		change func(r records)
		want   error
	}{
		"nothing":                       {func(records) {}, nil},
		"one that never changed":        {func(r records) { r["value/"+erp+".1"] = before["value/"+erp+".1"] }, nil},
		"two values swapped":            {func(r records) { swap(r, "value/"+crm+".2", "value/"+erp+".1") }, barrier.ErrCorrupt},
		"two versions swapped":          {func(r records) { swap(r, "value/"+crm+".2", "value/"+crm+".1") }, barrier.ErrCorrupt},
		"two of one commit swapped":     {func(r records) { swap(r, "value/"+payroll+".1", "version/"+payroll+".1") }, barrier.ErrCorrupt},
		"two kinds swapped":             {func(r records) { swap(r, "credential/"+crm, v.of("grant")) }, barrier.ErrCorrupt},
		"two hashes of names swapped":   {func(r records) { swap(r, v.keys[slices.Index(v.keys, v.of("name"))+1], v.of("name")) }, barrier.ErrCorrupt},
		"an earlier value in its place": {func(r records) { r["value/"+crm+".2"] = r["value/"+crm+".1"] }, barrier.ErrCorrupt},
		"one of the older copy":         {func(r records) { r["credential/"+crm] = before["credential/"+crm] }, barrier.ErrRollback},
		"a deleted one put back": {func(r records) {
			for key, value := range before {
				if r[key] == "" && !strings.HasPrefix(key, "name/") {
					r[key] = value
				}
			}
		}, barrier.ErrRollback},
		"a name put back": {func(r records) {
			for key, value := range before {
				if r[key] == "" && strings.HasPrefix(key, "name/") {
					r[key] = value
				}
			}
		}, barrier.ErrRollback},
		"a copy under another ID":       {func(r records) { r["value/"+crm+".3"] = r["value/"+crm+".2"] }, barrier.ErrCorrupt},
		"a copy of another kind":        {func(r records) { r["grant/"+crm] = r["credential/"+crm] }, barrier.ErrCorrupt},
		"a grant removed":               {func(r records) { delete(r, v.of("grant")) }, barrier.ErrRollback},
		"all of a credential removed":   {func(r records) { maps.DeleteFunc(r, func(k, _ string) bool { return strings.Contains(k, payroll) }) }, barrier.ErrRollback},
		"all names removed":             {func(r records) { maps.DeleteFunc(r, func(k, _ string) bool { return strings.HasPrefix(k, "name/") }) }, barrier.ErrRollback},
		"the older root record":         {func(r records) { r["root/main"] = before["root/main"] }, barrier.ErrRollback},
		"the root record removed":       {func(r records) { delete(r, "root/main") }, barrier.ErrRollback},
		"the keyring removed":           {func(r records) { delete(r, "keyring/main") }, barrier.ErrRollback},
		"all but the root record older": {func(r records) { root := r["root/main"]; clear(r); maps.Copy(r, before); r["root/main"] = root }, barrier.ErrRollback},
		"another vault's root record":   {func(r records) { r["root/main"] = foreign["root/main"] }, barrier.ErrCorrupt},
		"another vault's keyring":       {func(r records) { r["keyring/main"] = foreign["keyring/main"] }, barrier.ErrCorrupt},
		"another vault's user":          {func(r records) { delete(r, v.of("user")); r[other.of("user")] = foreign[other.of("user")] }, barrier.ErrCorrupt},
		"all of another vault":          {func(r records) { clear(r); maps.Copy(r, foreign) }, barrier.ErrCorrupt},
		"all of the older copy":         {func(r records) { clear(r); maps.Copy(r, before) }, audit.ErrVaultRolledBack},
		"a value cut short":             {func(r records) { r["value/"+crm+".2"] = r["value/"+crm+".2"][:80] }, barrier.ErrCorrupt},
		"a value emptied":               {func(r records) { r["value/"+crm+".2"] = "" }, barrier.ErrCorrupt},
	} {
		c, changed := v.copied(t), maps.Clone(now)
		tc.change(changed)
		writeStore(t, c.path(storeFile), changed)
		c.wants(t, what, tc.want)
	}
	// Each in turn, by the lower floors alone.
	b := newBench(t, v)
	for _, key := range v.keys {
		changed := maps.Clone(now)
		delete(changed, key)
		writeStore(t, b.path(storeFile), changed)
		if _, err := b.look(t, true); !isNamed(err) {
			t.Errorf("without %s: %v", key, err)
		}
	}
}

// TestOlderKeyring: the keys of before a rotation do not bring back what is under them.
func TestOlderKeyring(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	before := readStore(t, v.path(storeFile))
	rotated := v.copied(t)
	rotated.change(t, func(t *testing.T, s *Server, _ *vault.Vault) {
		if err := (&keeping{s, s.rooms}).startRotation(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		<-s.rooms.rotation.ended
	})
	now := readStore(t, rotated.path(storeFile))
	if now["keyring/main"] == before["keyring/main"] || now[v.of("grant")] == before[v.of("grant")] {
		t.Fatal("nothing was rotated")
	}
	names := slices.Collect(maps.Keys(now))
	rotated.keys = slices.Sorted(slices.Values(names))
	rotated.entries = must(audit.Check(rotated.path(auditFolder)))(t).Size
	rotated.answers = must(rotated.copied(t).open(t))(t)
	for what, tc := range map[string]struct {
		older []string
		want  error
	}{
		"nothing":               {nil, nil},
		"keyring":               {[]string{"keyring/main"}, barrier.ErrCorrupt},
		"keyring and root":      {[]string{"keyring/main", "root/main"}, barrier.ErrRollback},
		"a record":              {[]string{v.of("grant")}, barrier.ErrCorrupt},
		"everything":            {slices.Collect(maps.Keys(before)), audit.ErrVaultRolledBack},
		"everything but a name": {slices.DeleteFunc(slices.Collect(maps.Keys(before)), func(k string) bool { return k == v.of("name") }), barrier.ErrRollback},
	} {
		c, changed := rotated.copied(t), maps.Clone(now)
		if len(tc.older) > 5 {
			clear(changed)
		}
		for _, key := range tc.older {
			changed[key] = before[key]
		}
		writeStore(t, c.path(storeFile), changed)
		c.wants(t, "older: "+what, tc.want)
	}
}

// TestFilesPutBack puts files of an older copy, or of another vault, beside the others. With all of them older the vault
// is whole, and only who has seen more can tell: that is TestBothPutBack, with an agent.
func TestFilesPutBack(t *testing.T) {
	t.Parallel()
	v, other := newSmall(t), newSmall(t)
	const log, checkpoint = auditFolder, auditFolder + "/checkpoint"
	for _, tc := range []struct {
		what  string
		from  string
		files []string
		want  error
	}{
		{"the older store", v.older, []string{storeFile}, audit.ErrVaultRolledBack},
		{"the older log", v.older, []string{log}, audit.ErrLogRolledBack},
		{"the older header", v.older, []string{sealFile}, nil},
		{"the older checkpoint", v.older, []string{checkpoint}, nil},
		{"the older store and header", v.older, []string{storeFile, sealFile}, audit.ErrVaultRolledBack},
		{"all but the checkpoint", v.older, []string{storeFile, sealFile, log}, errBehind},
		{"another vault's store", other.data, []string{storeFile}, barrier.ErrCorrupt},
		{"another vault's log", other.data, []string{log}, audit.ErrLogRolledBack},
		{"another vault's header", other.data, []string{sealFile}, seal.ErrWrongKey},
		{"another vault's checkpoint", other.data, []string{checkpoint}, nil},
		{"all of another vault's but the header", other.data, []string{storeFile, log}, barrier.ErrCorrupt},
		{"all of another vault's", other.data, []string{storeFile, log, sealFile}, seal.ErrWrongKey},
	} {
		c := v.copied(t)
		for _, file := range tc.files {
			kept, _ := os.ReadFile(c.path(checkpoint))
			if err := os.RemoveAll(c.path(file)); err != nil {
				t.Fatal(err)
			}
			copyTree(t, filepath.Join(tc.from, vaultFolder, file), c.path(file))
			if tc.want == errBehind {
				writeFile(t, c.path(checkpoint), kept)
			}
		}
		c.wants(t, tc.what, tc.want)
	}
}

// TestOlderFirstPage: where bbolt falls back to the page of the transaction before, the log says that the vault is old.
func TestOlderFirstPage(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	b := newBench(t, v)
	file := b.files[storeFile]
	at := 0
	if &newestMeta(file)[0] == &file[pageSize] {
		at = pageSize
	}
	for i := range 64 {
		patch(t, b.path(storeFile), at+16+i, []byte{file[at+16+i] ^ 0x10})
		if _, err := b.look(t, true); !isRollback(err) {
			t.Errorf("byte %d of the newest first page: %v", i, err)
		}
		patch(t, b.path(storeFile), at+16+i, file[at+16+i:][:1])
	}
	for _, with := range [][]byte{make([]byte, pageSize), file[pageSize-at:][:pageSize]} {
		c := v.copied(t)
		patch(t, c.path(storeFile), at, with)
		c.wants(t, fmt.Sprintf("a first page that begins with %x", with[:20]), audit.ErrVaultRolledBack)
	}
}
