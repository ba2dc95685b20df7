// Package deliver hands credentials to a job's command: it names the variables, runs the command with them, and takes
// the secrets out of what the command prints. It fetches nothing and decides nothing about who may have what; a secret
// reaches the command through its environment only, never through its arguments.
package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// ErrVariable means that a credential cannot be given to a command as it is.
var ErrVariable = errors.New("cannot set the environment")

// Credential is what Environment makes variables of.
type Credential struct {
	// Reference is the credential as the job named it, such as salesforce-prod.
	Reference string
	// Prefix begins the variables' names; an empty one is made from Reference.
	Prefix string
	// Fields are all values by name, secret or not.
	Fields map[string][]byte
}

// Environment answers the variables of all credentials as NAME=VALUE, sorted. PREFIX_FIELD is the name of each. It
// fails with ErrVariable where two fields would set the same variable, where a variable would change how programs run,
// and where a value holds a NUL byte, which no environment can carry.
func Environment(credentials []Credential) ([]string, error) {
	var environment []string
	from := map[string]string{}
	for _, c := range credentials {
		prefix := c.Prefix
		if prefix == "" {
			prefix = leadingDigit(variablePart(c.Reference))
		} else if !validVariable(prefix) {
			return nil, fmt.Errorf("%w: %q cannot begin a variable's name; use letters, digits and _, not beginning with a digit",
				ErrVariable, prefix)
		}
		for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
			name, value := prefix+"_"+variablePart(field), c.Fields[field]
			source := "field " + field + " of " + c.Reference
			if other, taken := from[fold(name)]; taken {
				return nil, fmt.Errorf("%w: %s and %s would both be %s; give one credential another prefix, as in --credential %s=OTHER",
					ErrVariable, other, source, name, c.Reference)
			}
			from[fold(name)] = source
			if steersPrograms(name) {
				return nil, fmt.Errorf("%w: %s would be %s, which changes how programs run; give the credential another prefix, as in --credential %s=OTHER",
					ErrVariable, source, name, c.Reference)
			}
			if bytes.IndexByte(value, 0) >= 0 {
				return nil, fmt.Errorf("%w: %s holds a NUL byte, which a variable cannot; have the command read it from strongroom-agent get %s --field %s",
					ErrVariable, source, c.Reference, field)
			}
			environment = append(environment, name+"="+string(value))
		}
	}
	slices.Sort(environment)
	return environment, nil
}

// variablePart is s in upper case, with every character that is not an ASCII letter or digit turned into _.
func variablePart(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s)
}

func leadingDigit(name string) string {
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

func validVariable(name string) bool {
	return leadingDigit(name) == name && variablePart(name) == strings.ToUpper(name)
}

// fold answers what two names of one variable have in common.
func fold(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

// steering are variables by which the loader, an interpreter, a shell or a common tool is told to run, load or find
// other code. A value from a vault that reached one of them would run as the job.
var steering = strings.Fields(`
	PATH IFS ENV SHELL HOME CDPATH PS4 BASHOPTS SHELLOPTS BASH_ENV BASH_XTRACEFD PROMPT_COMMAND ZDOTDIR FPATH
	LD_AUDIT LD_BIND_NOT LD_BIND_NOW LD_DEBUG LD_DEBUG_OUTPUT LD_DYNAMIC_WEAK LD_HWCAP_MASK LD_LIBRARY_PATH
	LD_ORIGIN_PATH LD_PRELOAD LD_PROFILE LD_PROFILE_OUTPUT LD_SHOW_AUXV LD_TRACE_LOADED_OBJECTS LD_USE_LOAD_BIAS
	LD_VERBOSE LD_WARN GLIBC_TUNABLES GCONV_PATH GETCONF_DIR HOSTALIASES LOCALDOMAIN LOCPATH MALLOC_TRACE NIS_PATH
	NLSPATH RESOLV_HOST_CONF RES_OPTIONS TMPDIR TZDIR
	PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONUSERBASE PYTHONEXECUTABLE PYTHONBREAKPOINT PYTHONWARNINGS
	PYTHONPLATLIBDIR PERLLIB PERL5LIB PERL5OPT PERL5DB RUBYLIB RUBYOPT GEM_HOME GEM_PATH BUNDLE_GEMFILE
	NODE_OPTIONS NODE_PATH NODE_REPL_EXTERNAL_MODULE CLASSPATH JAVA_HOME JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS
	_JAVA_OPTIONS MAVEN_OPTS GRADLE_OPTS PHPRC PHP_INI_SCAN_DIR LUA_INIT LUA_PATH LUA_CPATH R_PROFILE R_ENVIRON
	GOROOT GOFLAGS GOTOOLCHAIN GODEBUG RUSTFLAGS RUSTC_WRAPPER DOTNET_STARTUP_HOOKS CORECLR_PROFILER
	CORECLR_PROFILER_PATH CORECLR_ENABLE_PROFILING COR_PROFILER COR_PROFILER_PATH COR_ENABLE_PROFILING
	GIT_ASKPASS GIT_CONFIG GIT_CONFIG_COUNT GIT_CONFIG_GLOBAL GIT_CONFIG_PARAMETERS GIT_CONFIG_SYSTEM GIT_DIR
	GIT_EDITOR GIT_EXEC_PATH GIT_EXTERNAL_DIFF GIT_PAGER GIT_PROXY_COMMAND GIT_SEQUENCE_EDITOR GIT_SSH
	GIT_SSH_COMMAND GIT_TEMPLATE_DIR GIT_WORK_TREE SSH_ASKPASS SSH_ASKPASS_REQUIRE SSH_SK_PROVIDER
	EDITOR VISUAL PAGER MANPAGER BROWSER LESSOPEN LESSCLOSE TERMCAP TERMINFO TERMINFO_DIRS
	OPENSSL_CONF OPENSSL_ENGINES OPENSSL_MODULES GTK_MODULES GTK_PATH QT_PLUGIN_PATH
	COMSPEC PATHEXT PSMODULEPATH SYSTEMROOT WINDIR TEMP TMP APPDATA PROGRAMDATA
	NOTIFY_SOCKET LISTEN_FDS LISTEN_PID STRONGROOM_SOCKET STRONGROOM_SERVER STRONGROOM_CA_FINGERPRINT
`)

// steeringFamilies are beginnings of names whose rest the tool or its user makes up.
var steeringFamilies = []string{"BASH_FUNC_", "DYLD_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"}

// steersPrograms compares in upper case: some systems do not tell the cases apart.
func steersPrograms(name string) bool {
	name = strings.ToUpper(name)
	return slices.Contains(steering, name) ||
		slices.ContainsFunc(steeringFamilies, func(family string) bool { return strings.HasPrefix(name, family) })
}
