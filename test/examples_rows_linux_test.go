package test

// exampleWorld is what all examples take for granted: an /etc and a /root of their own, the machine's name, another
// machine that ssh reaches, which is this one, files with passwords, and what the rows below write shorter.
const exampleWorld = `
mkdir /run/etc && cp -a /etc/. /run/etc && mount --bind /run/etc /etc
mount -t tmpfs tmpfs /root
mount -t tmpfs tmpfs /media
mkdir -p /etc/strongroom /media/key bin
echo "127.0.0.1 localhost vault.example.com" >/etc/hosts
echo "etl:x:4711:4711::/:/bin/sh" >>/etc/passwd
printf '#!/bin/sh\nshift\nexec "$@"\n' >bin/ssh
printf '#!/bin/sh\nexit 0\n' >sync.sh
chmod +x bin/ssh sync.sh
echo "correct horse battery" >pw.txt
cp pw.txt old.txt
echo "staple in a newer one" >new.txt
echo "neither horse nor staple" >bob.txt
echo 4711 >pin.txt
echo "one two three four five six seven eight nine ten" >phrase

# member NAME: what the last member of that name is, in the JSON on stdin
member() { grep -o "\"$1\": *\"*[^\",}]*" | tail -n 1 | sed 's/^.*: *"*//'; }
# stop PID: ends a daemon's group as a service manager does, and wants 0
stop() { kill -TERM -- "-$1" && wait "$1"; }
# code STEP: what an authenticator app shows for $KEY now, or STEP times 30 s later
code() {
	local mac at
	mac=$(printf "$(printf %016x $(($(date +%s) / 30 + $1)) | sed 's/../\\x&/g')" |
		openssl dgst -sha1 -mac HMAC -macopt "hexkey:$(echo "$KEY" | base32 -d | od -An -tx1 | tr -d ' \n')" | sed 's/.* //')
	at=$((16#${mac:39:1} * 2))
	printf %06d $(((16#${mac:$at:8} & 0x7fffffff) % 1000000))
}
# as USER: whose token the commands after it take
as() { export STRONGROOM_TOKEN_FILE=$PWD/$1.token; }
# asked: bob asks alice for her credential
asked() {
	as bob
	REQUEST=$(strongroom request make alice/payroll --reason run --access read --host "$HOST_ID" --job-user etl --json | member number)
	as alice
	export REQUEST
}`

// An exampleRow is an example, typed by hand as --help must have it, and how it ends.
type exampleRow struct {
	before  string // what it takes for granted, beside what the rows before it did
	example string
	code    int
	stays   string // it stays until before stops it: the shell's variable that has its process
	booted  bool   // it wants a systemd: TestService runs it on a machine that has one
}

// exampleRows are run one after the other, on one machine. A new command's row goes where what it needs is there.
var exampleRows = []exampleRow{
	// A server.
	{example: `strongroom-server version --json`},
	{example: `source <(strongroom-server completion bash)`},
	{example: `strongroom-server init --data ./vault && strongroom-server run --data ./vault`, stays: "SERVER"},
	{before: `stop $SERVER`,
		example: `strongroom-server init --data /var/lib/strongroom --key-file /etc/strongroom/unseal.key --dns vault.example.com`},
	{before: `
		rm -rf /var/lib/strongroom
		LOG_KEY=$(strongroom-server init --data /var/lib/strongroom --key-file /etc/strongroom/unseal-2.key --dns vault.example.com \
			--admin-password @pw.txt --json | member log_key)
		mv /etc/strongroom/unseal-2.key /etc/strongroom/unseal.key
		cp /etc/strongroom/unseal.key /var/lib/strongroom/unseal.key
		FINGERPRINT=$(cat /var/lib/strongroom/ca-fingerprint)
		export LOG_KEY FINGERPRINT`,
		example: `strongroom-server run --data /var/lib/strongroom --agents 0.0.0.0:7443 --console 0.0.0.0:8443`, stays: "SERVER"},

	// People.
	{example: `strongroom version --json`},
	{example: `source <(strongroom completion bash)`},
	{before: `
		export STRONGROOM_SERVER=https://vault.example.com:8443 STRONGROOM_CA_FINGERPRINT=$FINGERPRINT
		strongroom login --user admin --password @pw.txt --token-out admin.token
		as admin
		strongroom user add alice --role admin --password @pw.txt
		strongroom user add carol --role developer --password @bob.txt
		unset STRONGROOM_SERVER STRONGROOM_CA_FINGERPRINT STRONGROOM_TOKEN_FILE`,
		example: `strongroom login --server https://vault.example.com:8443 --ca-fingerprint sha256:… --user alice --password @pw.txt`},
	{example: `strongroom whoami --json`},
	{example: `strongroom status --json`},
	{example: `strongroom user add bob --role developer --password @bob.txt`},
	{before: `
		export STRONGROOM_SERVER=https://vault.example.com:8443 STRONGROOM_CA_FINGERPRINT=$FINGERPRINT
		strongroom login --user alice --password @pw.txt --token-out alice.token
		strongroom login --user bob --password @bob.txt --token-out bob.token
		as alice`,
		example: `strongroom user list --json`},
	{example: `strongroom user show bob`},
	{example: `strongroom user disable bob`},
	{example: `strongroom user enable bob`},
	{before: `strongroom login --user bob --password @bob.txt --token-out bob.token`,
		example: `strongroom user passwd --present @old.txt --password @new.txt`},
	{before: `
		mv new.txt pw.txt
		echo "a third one with a staple" >new.txt
		strongroom login --user alice --password @pw.txt --token-out alice.token`,
		example: `strongroom user delete carol --purge --yes`},
	{example: `strongroom role list`},
	{example: `strongroom role show developer`},
	{example: `strongroom role add operator --permission 'host.*' --permission audit.view`},
	{example: `strongroom role delete operator`},
	{example: `strongroom token create deploy --expires 90d --out deploy.token`},
	{example: `strongroom token list`},
	{example: `strongroom token revoke deploy`},
	{example: `strongroom setting list`},
	{example: `strongroom setting get session-idle`},
	{example: `strongroom setting set session-idle 15m`},

	// Credentials.
	{example: `strongroom application list`},
	{example: `strongroom application show generic-rest`},
	{before: `
		mkdir applications
		printf 'name: acme-erp\ntitle: Acme\ncategory: erp\nauth_types: [{type: basic}]\n' >applications/acme-erp.yaml`,
		example: `strongroom application import ./applications --dry-run`},
	{before: `strongroom application import ./applications`,
		example: `strongroom application delete acme-erp`},
	{example: "strongroom credential add crm --application generic-rest --auth-type basic \\\n" +
		"  --field url=https://crm.example.com --field username=robot --secret password=@pw.txt"},
	{example: "strongroom credential add etl-client --application generic-rest --auth-type client_certificate \\\n" +
		"  --generate certificate --field common_name=etl --field days=30"},
	{example: `strongroom credential add alice/payroll --variable URL=https://pay.example.com --masked PIN=@pin.txt`},
	{example: `strongroom credential edit crm --secret password=@new.txt --tag env=prod`},
	{before: `
		strongroom credential edit alice/payroll --requestable
		strongroom credential add salesforce-prod --application generic-rest --auth-type basic \
			--field url=https://crm.example.com --field username=robot --secret password=@pw.txt`,
		example: `strongroom credential list --application generic-rest --tag env=prod`},
	{example: `strongroom credential show crm --reveal --json`},
	{example: `strongroom credential versions crm`},
	{before: `
		strongroom credential edit crm --secret password=@old.txt
		strongroom credential edit crm --secret password=@bob.txt`,
		example: `strongroom credential rollback crm --to 3`},
	{example: `strongroom credential disconnect crm`},
	{example: `strongroom credential connect crm`},
	{example: `strongroom credential default salesforce-prod`},

	// Hosts, grants, jobs.
	{example: `strongroom host join-token --label role=etl --ttl 1h | ssh runner1 strongroom-agent enroll --join -`},
	{example: `strongroom-agent version --json`},
	{example: `source <(strongroom-agent completion bash)`},
	{before: `
		rm -rf /var/lib/strongroom-agent
		strongroom host join-token --label role=etl >/root/join.txt`,
		example: `strongroom-agent enroll --join @/root/join.txt`},
	{before: `
		HOST_ID=$(member host </var/lib/strongroom-agent/identity.json)
		export HOST_ID`,
		example: `strongroom-agent run --state /var/lib/strongroom-agent`, stays: "AGENT"},
	{example: `strongroom host list --json`},
	{example: `strongroom host label h7x2 role=etl stage=`},
	{example: `strongroom host show h7x2`},
	{example: `strongroom grant add nightly --credential crm --host-label role=etl --job-user etl --ttl 15m`},
	{example: `strongroom explain --host h7x2 --credential crm --job user=etl`},
	{example: `strongroom grant edit nightly --job-user etl --job-user backup --ttl 30m`},
	{example: `strongroom grant list --json`},
	{example: `strongroom grant show nightly`},
	{before: `
		strongroom grant add sync --credential salesforce-prod --credential alice/payroll --host "$HOST_ID"
		for _ in $(seq 2000); do ! strongroom-agent status --json | grep -q '"connected": *true' || break; sleep 0.05; done`,
		example: `strongroom-agent status --json`},
	{example: `strongroom-agent list --json`},
	{example: `strongroom-agent explain salesforce-prod`},
	{example: `PASSWORD=$(strongroom-agent get salesforce-prod --field password)`},
	{example: `strongroom-agent exec --credential salesforce-prod -- ./sync.sh`},
	{example: `strongroom-agent exec --credential salesforce-prod --credential alice/payroll=PAYROLL -- ./sync.sh`},
	{before: `
		mkdir /run/app
		printf '#!/bin/sh\ntest "$(cat "$2")" = "password=staple in a newer one"\n' >server
		chmod +x server
		echo 'password={{ field "salesforce-prod" "password" }}' >app.conf.tmpl`,
		example: `strongroom-agent render --template app.conf.tmpl:/run/app/app.conf --exec ./server -- --config /run/app/app.conf`},
	{example: `git config --global credential.helper '!strongroom-agent helper git gitlab'`},
	{before: `
		strongroom credential add registry --application docker-registry --auth-type basic \
			--field url=https://registry.example.com --field username=robot --secret password=@pw.txt
		strongroom credential add aws-deploy --application aws --auth-type api_key \
			--field region=eu-central-1 --field access_key_id=AKIAEXAMPLE --secret key=@pw.txt
		strongroom credential add cluster-prod --application kubernetes --auth-type access_token \
			--field url=https://kube.example.com --secret token=@pw.txt
		strongroom grant add tools --credential registry --credential aws-deploy --credential cluster-prod --host "$HOST_ID"`,
		example: `echo registry.example.com | strongroom-agent helper docker registry get`},
	{example: `strongroom-agent helper aws aws-deploy`},
	{example: `strongroom-agent helper kubectl cluster-prod`},
	{example: `strongroom-agent install --join @join.txt`, booted: true},
	{example: `strongroom-agent uninstall`, booted: true},
	{example: `strongroom-agent start`, booted: true},
	{example: `strongroom-agent stop`, booted: true},
	{example: `strongroom-agent restart`, booted: true},
	{example: `strongroom grant revoke nightly`},

	// Requests.
	{before: `as bob`,
		example: `strongroom request make alice/payroll --reason 'year-end run' --access read --host h7x2 --job-user etl`},
	{before: `as alice`, example: `strongroom request list`},
	{before: `asked`, example: `strongroom request deny 7`},
	{before: `asked`, example: `strongroom request approve 7 --until 8h`},
	{example: `strongroom request revoke 7`},
	{example: `strongroom setting set requests off`},
	{example: `strongroom credential transfer alice/payroll --to bob`},
	{example: `strongroom user role bob auditor`},
	{before: `strongroom user add dora --role developer --password @bob.txt; strongroom user delete bob --purge --yes; strongroom user add bob --role developer --password @bob.txt`,
		example: `strongroom user delete bob --yes`},

	// The log.
	{example: `strongroom audit list --since 7d --credential crm`},
	{example: `strongroom audit list --since 7d --action credential.read --credential crm`},
	{example: `strongroom audit verify`},
	{example: `strongroom audit prove 17 --log-key "$LOG_KEY" --out entry-17.json`},
	{example: `strongroom-server verify --proof @entry-17.json --log-key "$LOG_KEY"`},
	{before: `cp /var/lib/strongroom-agent/checkpoint checkpoint-of-runner1`,
		example: `strongroom-server verify --checkpoint @checkpoint-of-runner1`},
	{example: `strongroom-server verify --data /var/lib/strongroom`},
	{example: `strongroom audit export --since 30d --out audit.jsonl`},
	{before: `! strongroom login --user alice --password @new.txt --token-out no.token`,
		example: `strongroom audit export --outcome refused | grep login`},

	// Keys, backups, and the end of things.
	{example: `strongroom slot list`},
	{example: `strongroom slot add --new-passphrase @phrase --key-file /etc/strongroom/unseal.key`},
	{before: `SLOT=$(strongroom slot list --json | member id)
		export SLOT`,
		example: `strongroom slot list --json`},
	{example: `strongroom slot remove 0a1b2c3d --passphrase @phrase`},
	{example: `strongroom rekey --json`},
	{example: `strongroom backup --out vault-$(date +%F).backup`},
	{before: `strongroom slot add --new-shares 2 --new-threshold 2 --out shares --key-file /etc/strongroom/unseal.key`,
		example: `strongroom seal`},
	{before: `
		set -- shares/*
		strongroom unseal --share "@$1"
		cp "$2" my-share`,
		example: `strongroom unseal --share @my-share`},
	{example: `strongroom factor begin --password @pw.txt`},
	{before: `
		KEY=$(strongroom factor begin --password @pw.txt --json | member key)
		CODE=$(code 0)
		export CODE`,
		example: `strongroom factor confirm 123456`},
	{before: `CODE=$(code 1)`, example: `strongroom factor remove --code 123456`},
	{example: `strongroom credential delete crm --yes`},
	{example: `strongroom host revoke h7x2`},
	{example: `strongroom logout`},
	{before: `
		stop $AGENT
		stop $SERVER`,
		example: `strongroom-server check --data /var/lib/strongroom --key-file /etc/strongroom/unseal.key`},
	{before: `
		rm -rf /var/lib/strongroom
		mv vault-*.backup vault.backup
		cp /etc/strongroom/unseal.key /media/key/unseal.key`,
		example: `strongroom-server restore --data /var/lib/strongroom --from vault.backup --key-file /media/key/unseal.key`},
}
