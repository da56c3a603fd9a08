import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { docsPage, openApi } from './openapi.ts';
import { route } from './route.ts';

const routes = [
  route({
    method: 'post',
    path: '/things/:id/parts',
    summary: 'Adds a <part>.',
    params: z.object({ id: z.string() }),
    query: z.object({ dry: z.coerce.boolean().optional() }),
    body: z.object({ name: z.string().min(1), count: z.int().default(1) }),
    responses: { 201: { description: 'Added', schema: z.object({ id: z.string() }) } },
    handle: () => ({ status: 201 }),
  }),
];

describe('the OpenAPI document', () => {
  const document = openApi('thing', '1.0.0', routes);

  test('comes from the schemas that validate', () => {
    const post = document.paths['/things/{id}/parts']?.['post'];
    expect(post).toMatchObject({
      operationId: 'postThingsIdParts',
      parameters: [
        { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
        { name: 'dry', in: 'query', required: false },
        { name: 'Idempotency-Key', in: 'header', required: false },
      ],
      requestBody: {
        content: { 'application/json': { schema: { type: 'object', required: ['name'] } } },
      },
      responses: { 201: { description: 'Added' }, default: { description: 'A problem' } },
    });
    expect(JSON.stringify(document)).not.toContain('additionalProperties');
  });

  test('has a page for people in which nothing of it is markup', () => {
    expect(docsPage(document)).toContain('Adds a &lt;part&gt;.');
    expect(docsPage(document)).not.toContain('<part>');
  });
});
