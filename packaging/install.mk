# `make install` installs on this machine, `make deb` builds a package. See docs/install.md.

PREFIX ?= /usr/local
DESTDIR ?=
# The units contain this path, so it does not depend on PREFIX.
OPT := $(DESTDIR)/opt/fraudd
SHARE := $(DESTDIR)$(PREFIX)/share/fraudd
UNITS := $(DESTDIR)$(PREFIX)/lib/systemd/system
SOURCES := $(shell find fraudd -type f ! -path '*/__pycache__/*') README.md LICENSE

.PHONY: install uninstall deb

build/opt.built: packaging/build-venv setup.cfg pyproject.toml constraints.txt $(SOURCES)
	@echo "building the virtual environment of /opt/fraudd"
	@packaging/build-venv build/opt
	@touch $@

##@ Install
install: build/opt.built ## install fraudd and its systemd units (DESTDIR, PREFIX); configuration stays
	@# The rename is atomic: a daemon that starts now gets either the old or the new environment.
	rm -rf $(OPT).new $(OPT).old
	mkdir -p $(dir $(OPT))
	cp -a --no-preserve=ownership build/opt $(OPT).new
	if [ -e $(OPT) ]; then mv $(OPT) $(OPT).old; fi
	mv $(OPT).new $(OPT)
	rm -rf $(OPT).old $(SHARE)
	install -d $(DESTDIR)/etc/fraudd $(SHARE)/example/features $(SHARE)/drop-ins
	install -d $(UNITS) $(DESTDIR)$(PREFIX)/bin
	ln -sfn /opt/fraudd/bin/fraudd $(DESTDIR)$(PREFIX)/bin/fraudd
	install -m 644 systemd/fraudd@.service systemd/fraudd@.socket $(UNITS)
	install -m 644 systemd/drop-ins/*.conf $(SHARE)/drop-ins
	install -m 644 config/fraudd.toml $(SHARE)/example
	install -m 644 config/features/*.sql $(SHARE)/example/features
	install -m 644 config/schema.sql config/alerts.yaml config/grafana.json $(SHARE)
	install -m 644 config/cloudformation.yaml $(SHARE)
	@[ -n "$(DESTDIR)" ] || ! [ -d /run/systemd/system ] || systemctl daemon-reload

uninstall: ## remove the files of `make install`; the configuration below /etc/fraudd stays
	rm -rf $(OPT) $(SHARE) $(DESTDIR)$(PREFIX)/bin/fraudd
	rm -f $(UNITS)/fraudd@.service $(UNITS)/fraudd@.socket
	@[ -n "$(DESTDIR)" ] || ! [ -d /run/systemd/system ] || systemctl daemon-reload

deb: build/opt.built ## build a Debian package below dist
	@rm -rf build/deb
	@$(MAKE) -s install DESTDIR=build/deb PREFIX=/usr
	@packaging/build-deb build/deb dist
