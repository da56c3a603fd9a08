/**
 * What a folder of YAML files says: the valid resources, and what is wrong with the others. Pure.
 *
 * A mistake never takes something away. A key that is described badly is `held`: what was in force for it stays so. A file
 * with a mistake whose resource cannot be told (a syntax error, a missing name) holds every key that came from that file.
 */
import type { KindValidator } from '../validation/crd.ts';
import { isRecord } from '../validation/schema.ts';
import type { Finding } from '../validation/sentences.ts';
import { parseDocuments } from './document.ts';
import type { FileDocument, Problem } from './document.ts';

export const GROUP = 'warren.events';

export interface LoadedResource {
  kind: string;
  /** `namespace/name`, or `name` for what has no namespace. */
  key: string;
  resource: Record<string, unknown>;
  /** As the file has it, in its namespace: without defaults. */
  written: Record<string, unknown>;
  file: string;
  line: number;
}

export interface Loaded {
  /** By `kind key`. */
  resources: Map<string, LoadedResource>;
  problems: Problem[];
  /** Problems of one resource, by `kind key`. */
  problemsOf: Map<string, Problem[]>;
  /** `kind key` of what is described badly. */
  held: Set<string>;
  /** Files with a mistake whose resource cannot be told. */
  heldFiles: Set<string>;
}

export interface TextFile {
  file: string;
  text: string;
}

/** `EventSubscription shop/loyalty` */
export function idOf(kind: string, key: string): string {
  return `${kind} ${key}`;
}

/**
 * @param inForce what is in force for an id now: rules that compare with the version before need it
 * @param unreadable files that are there and could not be read
 * @param namespace of what has one and does not name it
 */
export function loadFiles(
  files: readonly TextFile[],
  validators: ReadonlyMap<string, KindValidator>,
  inForce: (id: string) => unknown,
  unreadable: readonly Problem[] = [],
  namespace = 'default',
): Loaded {
  const loaded: Loaded = {
    resources: new Map(),
    problems: [...unreadable],
    problemsOf: new Map(),
    held: new Set(),
    heldFiles: new Set(unreadable.map(({ file }) => file)),
  };
  const places = new Map<string, LoadedResource[]>();
  for (const { file, text } of files) {
    const { documents, problems } = parseDocuments(file, text);
    if (problems.length > 0) loaded.heldFiles.add(file);
    loaded.problems.push(...problems);
    for (const document of documents.flatMap(itemsOf))
      loadDocument(file, document, validators, inForce, loaded, places, namespace);
  }
  for (const [id, described] of places) {
    const [only] = described;
    if (described.length === 1 && only !== undefined) {
      if (!loaded.held.has(id)) loaded.resources.set(id, only);
      continue;
    }
    // Which of them is meant, only a person knows: neither is taken, and what was in force stays.
    for (const one of described) {
      const others = described
        .filter((other) => other !== one)
        .map((other) => `${other.file}:${other.line}`)
        .join(', ');
      addProblem(loaded, id, { ...one, sentence: `${id} is described twice: here and at ${others}` });
    }
  }
  loaded.problems.sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
  return loaded;
}

/** What `kubectl get -o yaml` writes is a List: its items, each at its own place. */
function itemsOf(document: FileDocument): FileDocument[] {
  const { value } = document;
  if (!isRecord(value) || value['apiVersion'] !== 'v1' || value['kind'] !== 'List') return [document];
  const items: unknown = value['items'];
  if (!Array.isArray(items)) return [];
  return (items as unknown[]).map((item, index) => ({
    line: document.lineOf(['items', index]),
    value: item,
    lineOf: (path, options) => document.lineOf(['items', index, ...path], options),
  }));
}

function addProblem(loaded: Loaded, id: string, { file, line, sentence }: Problem): void {
  const problem = { file, line, sentence };
  loaded.problems.push(problem);
  loaded.problemsOf.set(id, [...(loaded.problemsOf.get(id) ?? []), problem]);
  loaded.held.add(id);
}

function loadDocument(
  file: string,
  document: FileDocument,
  validators: ReadonlyMap<string, KindValidator>,
  inForce: (id: string) => unknown,
  loaded: Loaded,
  places: Map<string, LoadedResource[]>,
  namespace: string,
): void {
  const { value } = document;
  const nameless = (line: number, sentence: string) => {
    loaded.problems.push({ file, line, sentence });
    loaded.heldFiles.add(file);
  };
  if (!isRecord(value)) {
    nameless(document.line, 'not a resource: a resource is a map with apiVersion, kind, metadata and spec');
    return;
  }
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    const missing = typeof apiVersion !== 'string' ? 'apiVersion' : 'kind';
    nameless(document.lineOf([missing]), `${missing}: Required value`);
    return;
  }
  // A folder may hold what belongs to others: a Namespace, a Secret, a kustomization.
  if (apiVersion.split('/')[0] !== GROUP) return;
  const validator = validators.get(kind);
  if (validator?.apiVersion !== apiVersion) {
    nameless(
      document.lineOf(['kind']),
      `no matches for kind "${kind}" in version "${apiVersion}": use one of ${[...validators.values()].map((one) => `${one.kind} in "${one.apiVersion}"`).join(', ')}`,
    );
    return;
  }
  const located = locate(validator, value, namespace);
  const key = keyOf(validator, located);
  const { resource, findings } = validator.validate(
    located,
    key === undefined ? undefined : inForce(idOf(kind, key)),
  );
  for (const finding of findings) {
    const problem = { file, line: lineOfFinding(document, finding), sentence: finding.sentence };
    if (key === undefined) nameless(problem.line, problem.sentence);
    else addProblem(loaded, idOf(kind, key), problem);
  }
  if (key === undefined) return;
  const id = idOf(kind, key);
  places.set(id, [
    ...(places.get(id) ?? []),
    { kind, key, resource, written: located, file, line: document.line },
  ]);
}

function lineOfFinding(document: FileDocument, { path, atKey }: Finding): number {
  return document.lineOf(path, { key: atKey === true });
}

/** What has a namespace and does not name one is in the one that is given, as with kubectl. */
function locate(
  validator: KindValidator,
  value: Record<string, unknown>,
  otherwise: string,
): Record<string, unknown> {
  const { metadata } = value;
  if (!isRecord(metadata)) return value;
  const { namespace, ...rest } = metadata;
  if (!validator.namespaced) return { ...value, metadata: rest };
  return { ...value, metadata: { ...rest, namespace: namespace ?? otherwise } };
}

function keyOf(validator: KindValidator, value: Record<string, unknown>): string | undefined {
  const { metadata } = value;
  if (!isRecord(metadata) || typeof metadata['name'] !== 'string') return undefined;
  const { name, namespace } = metadata;
  if (!validator.namespaced) return name;
  return typeof namespace === 'string' ? `${namespace}/${name}` : undefined;
}
