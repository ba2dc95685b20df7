package credential

import (
	"strings"
	"testing"
)

func TestSteeringVariables(t *testing.T) {
	t.Parallel()
	for _, name := range strings.Fields(`LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES PATH IFS ENV BASH_ENV
		BASH_FUNC_x NODE_OPTIONS PYTHONPATH PYTHONSTARTUP PERL5OPT RUBYOPT JAVA_TOOL_OPTIONS _JAVA_OPTIONS GIT_SSH_COMMAND GIT_SSH
		GIT_CONFIG_KEY_0 GIT_EXTERNAL_DIFF SSH_ASKPASS EDITOR PAGER LESSOPEN GLIBC_TUNABLES OPENSSL_CONF PS4 PROMPT_COMMAND
		DOTNET_STARTUP_HOOKS PSModulePath ComSpec STRONGROOM_SOCKET HOME`) {
		if !SteersPrograms(name) {
			t.Errorf("%s is let through", name)
		}
	}
	for _, name := range strings.Fields(`PGPASSWORD LD_SDK_KEY GIT_TOKEN NODE_AUTH_TOKEN PATH_TOKEN STRONGROOM_TOKEN`) {
		if SteersPrograms(name) {
			t.Errorf("%s is refused", name)
		}
	}
}
