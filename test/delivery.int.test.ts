/** What is delivered beside the charts: kustomize overlays, taken by a real API server, and the references in skaffold.yaml. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { CHARTS, chartValues, workspaces, writeValues } from '../scripts/images/pinned.ts';
import { copyCharts } from '../scripts/release/charts.ts';
import { chartTools, root, succeed, type Chart, type Tools } from './support/helm.ts';
import {
  looseEnds,
  nameOf,
  ofKind,
  parseManifests,
  podTemplates,
  selected,
  selectorOf,
  type Manifest,
} from './support/manifests.ts';

const namespace = `test-delivery-${process.pid}`;
const overlays = readdirSync(join(root, 'k8s/overlays'));
const kustomizations = [
  'k8s/base',
  'k8s/samples',
  'k8s/monitoring',
  ...overlays.map((name) => `k8s/overlays/${name}`),
];
const kustomize = async (path: string) => parseManifests(await succeed('kubectl', ['kustomize', path]));

let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
  const { code, stderr } = await tools.kubectl(['create', '--filename=-'], {
    input: `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${namespace}\n  labels:\n    pod-security.kubernetes.io/warn: restricted\n`,
  });
  if (code !== 0) throw new Error(stderr);
  await succeed('kubectl', ['apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds'], {
    env: { KUBECONFIG: tools.kubeconfig },
  });
}, 900_000);

afterAll(async () => {
  await tools.kubectl(['delete', 'namespace', namespace, '--wait=false']);
});

describe.each(kustomizations)('kubectl kustomize %s', (path) => {
  test('makes objects that the API server would take, restricted where pods are', async () => {
    const manifests = await kustomize(path);
    expect(manifests.length).toBeGreaterThan(0);
    // Their own namespaces are not made for a dry run; one that warns is there instead.
    const moved = manifests
      .filter(({ kind }) => kind !== 'Namespace')
      .map((manifest) =>
        manifest.metadata.namespace === undefined
          ? manifest
          : { ...manifest, metadata: { ...manifest.metadata, namespace } },
      );
    expect(await tools.dryRun([...moved, ...ofKind(manifests, 'Namespace')])).toBe('');
  });
});

describe.each(['k8s/base', ...overlays.map((name) => `k8s/overlays/${name}`)])('the parts of %s', (path) => {
  test('are restricted, read-only and bounded, and keep their data on a volume', async () => {
    const manifests = await kustomize(path);
    for (const { owner, pod } of podTemplates(manifests)) {
      expect([nameOf(owner), looseEnds(pod)]).toEqual([nameOf(owner), []]);
      expect(pod.spec).toMatchObject({ automountServiceAccountToken: false });
      expect(pod.spec.containers[0]!.readinessProbe).toBeDefined();
    }
    for (const { spec } of ofKind(manifests, 'StatefulSet'))
      expect(spec).toMatchObject({ volumeClaimTemplates: [{ metadata: { name: 'data' } }] });
    for (const manifest of [...ofKind(manifests, 'Service'), ...ofKind(manifests, 'NetworkPolicy')])
      expect(selected(manifests, selectorOf(manifest), manifest.metadata.namespace)).toHaveLength(1);
  });

  test('are where the charts look for them', async () => {
    const manifests = await kustomize(path);
    const secret = (where: string, name: string) =>
      manifests.find(
        ({ kind, metadata }) => kind === 'Secret' && metadata.namespace === where && metadata.name === name,
      )?.data;
    const service = (host: string) => {
      const [name, where] = host.split('.');
      return manifests.find(
        ({ kind, metadata }) => kind === 'Service' && metadata.name === name && metadata.namespace === where,
      );
    };
    const urls = [
      ...Object.entries(secret('warren-system', 'rabbitmq') ?? {}),
      ...Object.entries(secret('shop', 'mongodb') ?? {}),
    ]
      .filter(([key]) => key.endsWith('uri'))
      .map(([, value]) => new URL(Buffer.from(value, 'base64').toString()));
    expect(urls).toHaveLength(3);
    // Its services have users of their own.
    expect(secret('shop', 'rabbitmq')).toBeUndefined();
    for (const { hostname, port } of urls) {
      const ports = service(hostname)?.spec?.['ports'] as { port: number }[] | undefined;
      expect(ports?.map((one) => one.port)).toContain(Number(port));
    }
  });
});

interface SkaffoldModule {
  apiVersion: string;
  metadata: { name: string };
  requires?: { configs: string[] }[];
  build?: Build;
  manifests?: { kustomize: { paths: string[] } };
  deploy?: { helm?: { releases: Release[] } };
  portForward: { resourceName: string; namespace: string; port: number; localPort: number }[];
  profiles?: {
    name: string;
    build?: Build;
    manifests?: { kustomize: { paths: string[] } };
    patches?: { path: string; value: Record<string, unknown> | number }[];
  }[];
}

interface Build {
  artifacts: { image: string; docker: { target?: string; buildArgs: { APP: string } } }[];
}

interface Release {
  name: Chart;
  chartPath: string;
  namespace: string;
  setValues?: Record<string, unknown>;
  setValueTemplates: Record<string, string>;
}

/** Its form was checked against the public JSON schema of skaffold/v4beta13, which is not in this repository. */
describe('skaffold.yaml', () => {
  const modules = parseAllDocuments(readFileSync(join(root, 'skaffold.yaml'), 'utf8')).map(
    (document) => document.toJS() as SkaffoldModule,
  );
  const builds = modules.flatMap(({ build, profiles = [] }) =>
    [build, ...profiles.map((profile) => profile.build)].filter((one) => one !== undefined),
  );
  const releases = modules.flatMap(({ deploy }) => deploy?.helm?.releases ?? []);

  test('is of one version, and its modules need only each other', () => {
    expect(new Set(modules.map(({ apiVersion }) => apiVersion)).size).toBe(1);
    const names = modules.map(({ metadata }) => metadata.name);
    for (const { requires = [] } of modules)
      for (const { configs } of requires) expect(names).toEqual(expect.arrayContaining(configs));
  });

  test('builds an image for each service and the operator, for production and for syncing', () => {
    const all = builds.flatMap(({ artifacts }) => artifacts);
    const built = (target: string | undefined) =>
      new Map(
        all
          .filter(({ docker }) => docker.target === target)
          .map(({ image, docker }) => [image.replace('warren/', ''), docker.buildArgs.APP]),
      );
    expect(built(undefined)).toEqual(workspaces());
    const services = [...workspaces()].filter(([name]) => name !== 'operator');
    expect(built('development')).toEqual(new Map(services));
    expect(readFileSync(join(root, 'Dockerfile'), 'utf8')).toMatch(/^FROM \S+ AS development$/m);
  });

  test('names only what there is: overlays, charts, services and their ports', async () => {
    const paths = modules.flatMap(({ manifests, profiles = [] }) =>
      [manifests, ...profiles.map((profile) => profile.manifests)].flatMap(
        (one) => one?.kustomize.paths ?? [],
      ),
    );
    for (const path of [...paths, ...releases.map(({ chartPath }) => chartPath)])
      expect([path, existsSync(join(root, path))]).toEqual([path, true]);
    const manifests = [
      ...(await kustomize('k8s/base')),
      ...(await tools.template('warren', {}, { namespace: 'warren-system' })),
      ...(await tools.template('shop')),
    ];
    for (const { resourceName, namespace: where, port } of modules.flatMap(
      ({ portForward }) => portForward,
    )) {
      const service = ofKind(manifests, 'Service').find(
        ({ metadata }) => metadata.name === resourceName && metadata.namespace === where,
      );
      expect([resourceName, service?.spec?.['ports']]).toEqual([
        resourceName,
        expect.arrayContaining([expect.objectContaining({ port })]),
      ]);
    }
  });

  test('gives the charts values that they take, so that every pod runs an image that was built', async () => {
    for (const { name, setValues = {}, setValueTemplates } of releases) {
      const given = Object.entries(setValueTemplates).map(([key, template]) => {
        const [, kind, image] = /^\{\{\.IMAGE_(REPO|TAG)_warren_(\w+)\}\}$/.exec(template) ?? [];
        return `${key}=${kind === 'REPO' ? `built/${image!.replaceAll('_', '-')}` : 'now'}`;
      });
      const patched = modules
        .flatMap(({ profiles = [] }) => profiles)
        .flatMap(({ patches = [] }) => patches)
        .flatMap(({ value }) => (typeof value === 'object' ? Object.entries(value) : []))
        .map(([key, value]) => `${key}=${String(value)}`)
        .filter(() => name === 'shop');
      const values = [
        ...Object.entries(setValues).map(([key, value]) => `${key}=${String(value)}`),
        ...given,
        ...patched,
      ];
      const { code, stdout, stderr } = await tools.helm([
        ...['template', name, `charts/${name}`, '--kube-version', '1.36.0'],
        ...values.flatMap((value) => ['--set', value]),
      ]);
      if (code !== 0) throw new Error(stderr);
      const images = podTemplates(ofKind(parseManifests(stdout), 'Deployment')).map(({ owner, pod }) => [
        owner.metadata.name,
        pod.spec.containers[0]!.image,
      ]);
      expect(images.length).toBeGreaterThan(0);
      for (const [owner, image] of images)
        expect(image).toBe(`built/${owner === 'warren' ? 'operator' : owner}:now`);
    }
  });
});

describe('images by their digests', () => {
  const registry = 'registry.example/team/';
  const digests = new Map(
    [...workspaces().keys()].map((name, index) => [name, `sha256:${String(index).repeat(64)}`]),
  );
  const pushed = new Map(
    [...digests].map(([name, digest]) => [name, `registry.example/team/warren/${name}@${digest}`]),
  );
  const imagesOf = (manifests: readonly Manifest[]) =>
    podTemplates(ofKind(manifests, 'Deployment')).map(({ owner: { metadata }, pod }): [string, string] => [
      metadata.name === 'warren' ? 'operator' : metadata.name,
      pod.spec.containers[0]!.image,
    ]);

  test('the values that npm run images writes make the charts run what was pushed', async () => {
    const values = chartValues(registry, digests);
    const images = new Map<string, string>();
    for (const chart of CHARTS)
      for (const [name, image] of imagesOf(await tools.template(chart, values[chart])))
        images.set(name, image);
    expect(images).toEqual(pushed);
  });

  test('a released chart runs what was pushed with it, and is given nothing for that', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'warren-release-'));
    try {
      const packaged = join(folder, 'packaged');
      writeValues(join(folder, 'values'), registry, digests);
      copyCharts(join(folder, 'values'), packaged);
      const images = new Map<string, string>();
      for (const chart of ['warren', 'service', 'shop']) {
        const made = await tools.helm(['package', join(packaged, chart), '--destination', folder]);
        expect(made).toMatchObject({ code: 0 });
        if (chart === 'service') continue; // a library
        const { version } = parse(readFileSync(join(packaged, chart, 'Chart.yaml'), 'utf8')) as Versioned;
        const archive = join(folder, `${chart}-${version}.tgz`);
        const { code, stdout, stderr } = await tools.helm([
          ...['template', chart, archive, '--kube-version', '1.36.0'],
        ]);
        if (code !== 0) throw new Error(stderr);
        for (const [name, image] of imagesOf(parseManifests(stdout))) images.set(name, image);
      }
      expect(images).toEqual(pushed);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('no chart is made where an image has none', () => {
    const folder = mkdtempSync(join(tmpdir(), 'warren-release-'));
    try {
      for (const chart of CHARTS) writeFileSync(join(folder, `${chart}.yaml`), '');
      const copy = () => copyCharts(folder, join(folder, 'packaged'));
      expect(copy).toThrow('no digest is given for the image of operator');
      expect(existsSync(join(folder, 'packaged'))).toBe(false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

interface Versioned {
  version: string;
}
