package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// jobKinds are the conditions on jobs, each with its flag and with what stands
// before its values where all of them are listed together.
var jobKinds = []struct {
	flag, usage, head, prefix string
	values                    func(*api.Jobs) *[]string
}{
	{"job-user", "only jobs of this user on the host, `NAME` or uid", "job users", "",
		func(j *api.Jobs) *[]string { return &j.JobUsers }},
	{"job-unit", "only jobs of this systemd system unit, `UNIT` such as backup.service", "job units", "unit:",
		func(j *api.Jobs) *[]string { return &j.JobUnits }},
	{"job-container", "only jobs in this container, `ID` or its first 12 digits or more", "job containers", "container:",
		func(j *api.Jobs) *[]string { return &j.JobContainers }},
	{"job-exe", "only jobs that run this program, `PATH`; beside --job-user or --job-unit", "job executables", "exe:",
		func(j *api.Jobs) *[]string { return &j.JobExes }},
	{"job-exe-sha256", "only jobs whose program has this SHA-256, `HEX`; beside --job-user or --job-unit", "job executables' SHA-256", "sha256:",
		func(j *api.Jobs) *[]string { return &j.JobExeHashes }},
	{"job-claim", "only jobs with a token of their CI system that says so, `ISSUER:CLAIM=VALUE`", "job claims", "claim:",
		func(j *api.Jobs) *[]string { return &j.JobClaims }},
}

func jobFlags(cmd *cobra.Command, j *api.Jobs) {
	for _, kind := range jobKinds {
		cmd.Flags().StringArrayVar(kind.values(j), kind.flag, nil, kind.usage)
	}
}

// replaceJobs puts what flags say in the place of what was there.
func replaceJobs(cmd *cobra.Command, j, given *api.Jobs) {
	for _, kind := range jobKinds {
		if cmd.Flags().Changed(kind.flag) {
			*kind.values(j) = *kind.values(given)
		}
	}
}

// checkJobs refuses what the server would refuse without being asked.
func checkJobs(j api.Jobs) error {
	if len(j.JobExes)+len(j.JobExeHashes) > 0 && len(j.JobUsers)+len(j.JobUnits) == 0 {
		return cli.Usagef("--job-exe and --job-exe-sha256 need --job-user or --job-unit beside them: a process can start any program and go on in its name")
	}
	return nil
}

// jobRows shows the users always, the other kinds where there are any.
func jobRows(t *cli.Table, j *api.Jobs) {
	for i, kind := range jobKinds {
		if values := *kind.values(j); i == 0 || len(values) > 0 {
			t.Add(kind.head, values)
		}
	}
}

// jobList joins the kinds, each in the form that tells it apart.
func jobList(j *api.Jobs) []string {
	var all []string
	for _, kind := range jobKinds {
		for _, value := range *kind.values(j) {
			all = append(all, kind.prefix+value)
		}
	}
	return all
}

const jobForm = "user=NAME,unit=UNIT,container=ID,exe=PATH,sha256=HEX,claim=ISSUER:CLAIM=VALUE"

// parseJob reads jobForm, in one text or several; claim alone may come more than
// once. A comma within a value is kept where no known name follows it, or where
// it is written \, as it must be otherwise.
func parseJob(texts []string) (job api.Job, err error) {
	parts := map[string]*string{
		"user": &job.User, "unit": &job.Unit, "container": &job.Container, "exe": &job.Exe, "sha256": &job.SHA256, "claim": new(string),
	}
	for _, text := range texts {
		var last *string
		for _, piece := range pieces(text) {
			name, value, found := strings.Cut(piece, "=")
			part := parts[name]
			switch {
			case found && name == "claim" && value != "":
				job.Claims = append(job.Claims, value)
				last = &job.Claims[len(job.Claims)-1]
			case found && part != nil && *part == "" && value != "":
				*part, last = value, part
			case last != nil && (!found || part == nil):
				*last += "," + piece
			default:
				return job, cli.Usagef("--job: wanted is %s, each but claim at most once", jobForm)
			}
		}
	}
	return job, nil
}

// pieces splits at commas, other than those behind a backslash, which it takes away.
func pieces(text string) []string {
	const kept = "\x00"
	out := strings.Split(strings.ReplaceAll(text, `\,`, kept), ",")
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], kept, ",")
	}
	return out
}
