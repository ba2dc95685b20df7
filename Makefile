# Strongroom. `make demo` shows it, `make test` checks all of it, `make help` lists the rest.

PLATFORM := $(shell go env GOOS)/$(shell go env GOARCH)
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# runtime/secret wipes registers and stacks after key work; Go has it on these platforms only.
ifneq ($(filter $(PLATFORM),linux/amd64 linux/arm64),)
export GOEXPERIMENT := runtimesecret
endif

BUILD    := go build -buildvcs=false -trimpath -ldflags '-s -w -X github.com/strongroom/strongroom/shared/cli.version=$(VERSION)'
PROGRAMS := ./server/cmd/strongroom-server ./server/cmd/strongroom ./agent/cmd/strongroom-agent
TOOLS    := bin/tools/.built
WINDOWS  := GOOS=windows GOEXPERIMENT= CGO_ENABLED=0

# The tests of the built programs and of a whole server, of which these are run once more with the race detector, in every
# program as well: it slows the others, which scan memory, flip every byte or crash hundreds of times, for nothing.
WHOLE := ./test ./server
RACED := KillAnywhere|Refusals|JoinTokenWorksOnce|SlotsWhileServing|RekeyWhileServing|BackupAndRestore|SealedServer|WhatDoesNotOpen

# No debugger looks at tests: without its tables (-w) they link in half the time.
# The primitives of cryptography share nothing between goroutines; with the detector in them, most of all time is theirs.
RACE := -race -ldflags=-w -gcflags=golang.org/x/crypto/...=-race=false -gcflags=crypto/internal/...=-race=false

.PHONY: help demo build test vet lint house generate generate-check fuzz bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## a server, an agent and a job with its credential, until Ctrl-C (ONCE=1: ends after the job)
	@tools/parts.sh git
	@CGO_ENABLED=0 go build -buildvcs=false -trimpath -o bin/demo ./test/demo
	@bin/demo -bin bin $(if $(ONCE),-once)

build: ## the three programs, in bin/
	@CGO_ENABLED=0 $(BUILD) -o bin/ $(PROGRAMS)

test: ## everything: lint, generated code, all tests with the race detector; installs what is missing
	@tools/parts.sh apache2 debootstrap gcc gcore git ip lighttpd nginx node npm openssl protoc ssh-keygen systemd-nspawn unshare
	@$(MAKE) --no-print-directory lint generate-check
	go test $(RACE) -shuffle=on -timeout 15m $$(go list ./... | grep -vxF "$$(go list $(WHOLE))")
	go test -run '^Test(WhatGoKeeps|NoResidueOutsideTheArena|DoErases)$$' ./shared/secret # memory without the detector's
	go test -ldflags=-w -shuffle=on -parallel 4 -timeout 20m $(WHOLE) # many of them wait
	go test $(RACE) -timeout 10m -run '^Test($(RACED))$$' $(WHOLE)

vet: lint house ## gofmt, go vet and staticcheck for Linux and Windows, the rules of the house

lint: $(TOOLS)
	@unformatted=$$(gofmt -l .) && if [ -n "$$unformatted" ]; then echo "not formatted; run gofmt -w on:" $$unformatted >&2; exit 1; fi
	go vet ./...
	$(WINDOWS) go vet ./...
	bin/tools/staticcheck ./...
	$(WINDOWS) bin/tools/staticcheck ./...

house:
	go test -run '^TestHouse' ./test

generate: $(TOOLS) ## the wire code from shared/wire/*.proto
	@tools/parts.sh protoc
	@tools/generate.sh .

generate-check: $(TOOLS) ## fails where the committed wire code is not what generate gives
	@tools/parts.sh protoc
	@tools/generate-check.sh

fuzz: ## every fuzz target for 20 seconds each, and a random history of the vault (FUZZTIME=5m: longer)
	@tools/fuzz.sh $(or $(FUZZTIME),20s)

ifdef MICRO
bench:
	go test -run '^$$' -bench . -benchmem ./...
else
bench: build ## the goals of speed beside their floors (FLAGS="-json": see bin/bench -help; MICRO=1: Go's benchmarks)
	@CGO_ENABLED=0 go build -buildvcs=false -trimpath -o bin/bench ./test/bench
	@bin/bench -bin bin $(FLAGS)
endif

clean: ## removes what was built
	rm -rf bin

$(TOOLS): tools/go.mod tools/go.sum
	@mkdir -p bin/tools
	@cd tools && GOEXPERIMENT= go build -buildvcs=false -o ../bin/tools/ tool
	@touch $@
