/**
 * The OpenAPI 3.1 description of a service, made from its routes, and a page for people. Pure.
 */
import { z } from 'zod';
import type { Route } from './route.ts';

/** The parts of an OpenAPI document that the page reads. */
export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

interface Operation {
  readonly summary: string;
  readonly operationId: string;
  readonly parameters?: readonly unknown[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
}

const problemSchema = {
  type: 'object',
  description: 'RFC 9457 problem details',
  required: ['type', 'title', 'status', 'reason'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    instance: { type: 'string' },
    reason: { type: 'string', description: 'stable, for programs' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          field: { type: 'string' },
          pointer: { type: 'string' },
          in: { enum: ['body', 'query', 'path', 'header'] },
          message: { type: 'string' },
        },
      },
    },
  },
};

const problem = {
  description: 'A problem',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

/** The document of a service. */
export function openApi(service: string, version: string, routes: readonly Route[]): OpenApiDocument {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const one of routes) {
    const path = one.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[one.method] = operation(one);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: `${service} service`,
      version,
      description: `The HTTP interface of the ${service} service.`,
    },
    paths,
    components: { schemas: { Problem: problemSchema } },
  };
}

function operation(one: Route): Operation {
  const parameters = [
    ...fields('path', one.params),
    ...fields('query', one.query),
    ...(one.method === 'post'
      ? [
          {
            name: 'Idempotency-Key',
            in: 'header',
            required: false,
            description: 'The same key with the same request gives the same answer and one effect.',
            schema: { type: 'string', maxLength: 255 },
          },
        ]
      : []),
  ];
  return {
    summary: one.summary,
    operationId: `${one.method}${one.path.replaceAll(/[/:-]+(\w)/g, (_all, letter: string) => letter.toUpperCase())}`,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(one.body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(one.body) } } },
        }),
    responses: {
      ...Object.fromEntries(
        Object.entries(one.responses).map(([status, answer]) => [
          status,
          {
            description: answer.description,
            ...(answer.schema === undefined
              ? {}
              : { content: { 'application/json': { schema: jsonSchema(answer.schema) } } }),
          },
        ]),
      ),
      default: problem,
    },
  };
}

function fields(where: 'path' | 'query', schema: z.ZodObject | undefined): unknown[] {
  if (schema === undefined) return [];
  const described = jsonSchema(schema) as { properties?: Record<string, unknown>; required?: string[] };
  return Object.entries(described.properties ?? {}).map(([name, value]) => ({
    name,
    in: where,
    required: where === 'path' || (described.required ?? []).includes(name),
    schema: value,
  }));
}

function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  // io: 'input' leaves objects open; the default would forbid fields that a later version adds.
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}

/** A page that lists the operations; plain HTML, nothing is loaded from anywhere. */
export function docsPage(document: OpenApiDocument): string {
  const sections = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, one]) => {
      const parts = [
        ['Parameters', one.parameters],
        ['Body', one.requestBody],
        ['Answers', one.responses],
      ] as const;
      const details = parts
        .filter(([, value]) => value !== undefined)
        .map(([title, value]) => `<h3>${title}</h3><pre>${escape(JSON.stringify(value, null, 2))}</pre>`);
      return (
        `<details><summary><code><b>${escape(method.toUpperCase())}</b> ${escape(path)}</code> ` +
        `${escape(one.summary)}</summary>${details.join('')}</details>`
      );
    }),
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(document.info.title)}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  details { border: 1px solid #8886; border-radius: 6px; padding: .6rem 1rem; margin: .6rem 0 }
  summary { cursor: pointer } pre { overflow: auto; background: #8881; padding: .6rem; border-radius: 6px }
  h3 { margin: .8rem 0 .2rem; font-size: 1rem }
</style></head><body>
<h1>${escape(document.info.title)}</h1>
<p>${escape(document.info.description)} As data: <a href="/openapi.json">/openapi.json</a>.
Also here: <a href="/health">/health</a>, <a href="/readyz">/readyz</a>, <a href="/livez">/livez</a>,
<a href="/metrics">/metrics</a>.</p>
${sections.join('\n')}
</body></html>
`;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
