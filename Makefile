# `make up` starts the cloud from a fresh clone, `make test` checks it, `make bench` measures it; each installs what it needs.
.PHONY: up test bench soak fuzz chaos

up:
	@scripts/bootstrap up $(ARGS)

test:
	@scripts/bootstrap test $(ARGS)

bench:
	@scripts/bootstrap bench $(ARGS)

# The longer search for messages that we read otherwise than h11, anew each time.
fuzz:
	@SHMASTRA_FUZZ=long scripts/bootstrap test tests/httprelay -k fuzz --timeout=3000 $(ARGS)

# Half an hour of mixed traffic through the gateway: memory and descriptors must stay as they are.
soak:
	@scripts/bootstrap bench soak $(ARGS)

# The long form of the tests that kill and starve the cloud.
chaos:
	@SHMASTRA_CHAOS=full scripts/bootstrap test tests/chaos $(ARGS)
