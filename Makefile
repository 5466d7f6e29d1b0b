# `make up` starts the cloud from a fresh clone; `make test` checks it. Both install what they need first.
.PHONY: up test chaos

up:
	@scripts/bootstrap up $(ARGS)

test:
	@scripts/bootstrap test $(ARGS)

# The long form of the tests that kill and starve the cloud.
chaos:
	@SHMASTRA_CHAOS=full scripts/bootstrap test tests/chaos $(ARGS)
