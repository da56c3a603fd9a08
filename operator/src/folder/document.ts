/**
 * A YAML file as documents that know where each of their values stands, so that a mistake can be named by file and line.
 */
import { isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, Node } from 'yaml';
import type { Path } from '../validation/schema.ts';

/** A mistake and its place. `sentence` names the field where there is one. */
export interface Problem {
  /** As the person who started the operator would write it: relative to where they stand. */
  file: string;
  /** From 1. */
  line: number;
  sentence: string;
}

/** `k8s/samples/loyalty.yaml:7: spec.events: Required value` */
export function describeProblem({ file, line, sentence }: Problem): string {
  return `${file}:${line}: ${sentence}`;
}

export interface FileDocument {
  /** Where the document begins. */
  line: number;
  /** As JSON: no anchors, no tags. */
  value: unknown;
  /** The line of the value at a path; of its key with `key`. What is missing has the line of its nearest parent. */
  lineOf(path: Path, options?: { key?: boolean }): number;
}

/** Reads a file's documents. A file with a syntax error gives its problems and the documents that are whole. */
export function parseDocuments(
  file: string,
  text: string,
): { documents: FileDocument[]; problems: Problem[] } {
  const counter = new LineCounter();
  const parsed = parseAllDocuments(text, {
    lineCounter: counter,
    prettyErrors: false,
    // As kubectl reads it.
    merge: true,
  });
  const documents: FileDocument[] = [];
  const problems: Problem[] = [];
  for (const document of Array.isArray(parsed) ? (parsed as Document.Parsed[]) : []) {
    const [mistake] = document.errors;
    if (mistake !== undefined) {
      // The first one alone: what the parser says after it mostly follows from it.
      problems.push({
        file,
        line: lineAt(counter, mistake.pos[0]),
        sentence: `not valid YAML: ${mistake.message}`,
      });
      continue;
    }
    if (document.contents === null) continue;
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      problems.push({
        file,
        line: lineAt(counter, document.range[0]),
        sentence: `not valid YAML: ${error instanceof Error ? error.message : String(error)}`,
      });
      continue;
    }
    if (value === null || value === undefined) continue;
    documents.push({
      line: lineOfNode(counter, document.contents) ?? lineAt(counter, document.range[0]),
      value,
      lineOf: (path, options) => findLine(document, counter, path, options?.key === true),
    });
  }
  return { documents, problems };
}

function lineAt(counter: LineCounter, offset: number): number {
  return Math.max(1, counter.linePos(offset).line);
}

function lineOfNode(counter: LineCounter, node: unknown): number | undefined {
  if (!isNode(node) || node.range === undefined || node.range === null) return undefined;
  return lineAt(counter, node.range[0]);
}

function findLine(document: Document.Parsed, counter: LineCounter, path: Path, key: boolean): number {
  let node: Node | null = document.contents;
  let line = lineOfNode(counter, node) ?? lineAt(counter, document.range[0]);
  for (const [index, step] of path.entries()) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step);
      if (pair === undefined) return line;
      const keyLine = lineOfNode(counter, pair.key);
      const last = index === path.length - 1;
      next = pair.value;
      // A map or a list that begins on the line after its key is named by its key: that is where one looks for it.
      const valueLine = isScalar(next) ? lineOfNode(counter, next) : keyLine;
      line = (last && key ? keyLine : valueLine) ?? keyLine ?? line;
    } else if (isSeq(node) && typeof step === 'number') {
      next = node.items[step];
      line = lineOfNode(counter, next) ?? line;
    } else return line;
    node = isNode(next) ? next : null;
  }
  return line;
}
