# `make up` starts the cloud from a fresh clone; `make test` checks it. Both install what they need first.
.PHONY: up test

up:
	@scripts/bootstrap up $(ARGS)

test:
	@scripts/bootstrap test $(ARGS)
