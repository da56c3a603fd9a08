/**
 * Images for a machine that reaches no image registry, under the names that manifests give them: what a cluster needs
 * itself (pause, CoreDNS), and stand-ins for those that `k8s/dev` names. RabbitMQ is the real one, out of Debian; MongoDB
 * is FerretDB in front of PostgreSQL with DocumentDB; Mailpit is a small program of ours.
 */
import { basename, dirname } from 'node:path';
import { cacheKey } from '../cache.ts';
import type { Context } from '../debian.ts';
import { goBinaries } from '../go.ts';
import { databaseTemplate, rootFileSystem } from '../root-file-system.ts';
import { archive, type Image } from './images.ts';

export const PAUSE = 'registry.k8s.io/pause:3.10';
export const COREDNS = 'registry.k8s.io/coredns/coredns:v1.15.0';

/** What `mongo` and `rabbitmq` run as in their own images. */
const USER = 999;

const database = `
set -eu
bin=/usr/lib/postgresql/18/bin data=/data/db/postgresql
if [ ! -e /data/db/made ]; then rm -rf $data; cp -r /template $data; fi
# Kubernetes gives a volume's files to its group; PostgreSQL wants them for itself.
chmod 700 $data
$bin/postgres -D $data -c port=5432 -c unix_socket_directories= -c synchronous_commit=on &
postgres=$!
sql() { $bin/psql --host=127.0.0.1 --username=postgres --quiet --command="$1"; }
until sql 'select 1' >/dev/null 2>&1; do kill -0 $postgres; sleep 0.2; done
if [ ! -e /data/db/made ]; then
  sql "create role \\"$MONGO_INITDB_ROOT_USERNAME\\" login superuser password '$MONGO_INITDB_ROOT_PASSWORD'"
  touch /data/db/made
fi
/usr/local/bin/ferretdb -listen 0.0.0.0:27017 -postgresql postgres://postgres@127.0.0.1:5432/postgres -state /data/configdb &
ferretdb=$!
# First no more clients, then the database as it ends in order. What wait gives back must not end this shell before it: the
# indexes of DocumentDB do not survive a PostgreSQL that is killed.
trap 'kill $ferretdb; wait $ferretdb || true; kill -INT $postgres; wait $postgres || true; exit 0' TERM INT
wait $ferretdb || true
kill -INT $postgres
wait $postgres
exit 1
`;

/** Archives with the images that every cluster here needs, and those with stand-ins. */
export async function standIns(context: Context): Promise<string[]> {
  const build = (module: string, sources: readonly string[], packages: readonly string[]) =>
    goBinaries({ module, sources, packages, about: '1 min', ...context });
  const [coredns, small, ferretdb, root] = await Promise.all([
    build('coredns', ['main.go'], ['.']),
    build('stand-ins', ['pause/main.go', 'mail/main.go'], ['./pause', './mail']),
    build('ferretdb', ['main.go'], ['.']),
    rootFileSystem(context),
  ]);
  const program = (name: string, folder: string, binary: string): Image => ({
    name,
    layers: [{ folder, at: 'usr/local/bin' }],
    config: { Entrypoint: [`/usr/local/bin/${binary}`] },
  });
  // Debian's configuration names a node of its own; the image of RabbitMQ has none.
  const without = [
    `./${databaseTemplate}`,
    './etc/rabbitmq/rabbitmq-env.conf',
    './var/cache/*',
    './var/lib/apt/*',
  ];
  const base = { folder: root, without: [...without, './usr/share/locale/*', './boot/*'] };
  const big: Image[] = [
    {
      name: 'docker.io/library/rabbitmq:4.3-management',
      layers: [base],
      config: {
        Entrypoint: ['/usr/lib/rabbitmq/bin/rabbitmq-server'],
        Env: [
          ...['PATH=/usr/sbin:/usr/bin', 'HOME=/var/lib/rabbitmq', 'LANG=C.UTF-8', 'RABBITMQ_LOGS=-'],
          'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none',
          // Its script becomes the broker, which then gets the signal that ends it in order.
          'RUNNING_UNDER_SYSTEMD=true',
        ],
      },
    },
    {
      name: 'docker.io/library/mongo:8.0',
      layers: [
        base,
        { folder: `${root}/${databaseTemplate}`, at: 'template', owner: USER },
        { folder: ferretdb, at: 'usr/local/bin' },
      ],
      config: {
        Entrypoint: ['/bin/sh', '-c', database, 'mongod'],
        Env: ['PATH=/usr/sbin:/usr/bin', 'LANG=C.UTF-8'],
      },
    },
  ];
  const [smallKey, bigKey] = [
    [coredns, small],
    [ferretdb, dirname(root)],
  ].map((folders) => cacheKey(FORMAT, database, ...folders.map((folder) => basename(folder)))) as [
    string,
    string,
  ];
  return [
    await archive(
      'node',
      smallKey,
      [
        program(PAUSE, small, 'pause'),
        program(COREDNS, coredns, 'coredns'),
        program('docker.io/axllent/mailpit:v1.27', small, 'mail'),
      ],
      context,
    ),
    await archive('parts', bigKey, big, context),
  ];
}

const FORMAT = '1';
