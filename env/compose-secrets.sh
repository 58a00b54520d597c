#!/bin/sh
# Writes the secrets of docker-compose.yml, random and once: they must not change while the database volume lives.
set -eu
cd "$(dirname "$0")/.."

file=.env
if [ -e $file ]; then
  echo "$file is there already. To rotate CLIENT_SECRET edit it; POSTGRES_PASSWORD must change in the database too."
  exit 0
fi
random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

umask 077
cat >$file.new <<END
# Written by 'make compose-env'. Never commit it.
POSTGRES_PASSWORD=$(random)
CLIENT_ID=compose
CLIENT_SECRET=$(random)
WEBHOOK_KEY=$(random)
END
mv $file.new $file
echo "Wrote $file: CLIENT_ID and CLIENT_SECRET in it are the credentials of the API. Now: docker compose up --build"
