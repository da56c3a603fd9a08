/** The shop's HTTP API as a customer uses it. */

export interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string;
}

export interface Order {
  readonly id: string;
  readonly userId: string;
  readonly status: 'placed' | 'completed' | 'cancelled';
  readonly total: number;
  readonly currency: string;
  readonly reason?: string;
}

export interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** An answer that was not the expected one. Code WARREN_SHOP_REQUEST. */
export class ShopRequestError extends Error {
  override readonly name = 'ShopRequestError';
  readonly code = 'WARREN_SHOP_REQUEST';
  readonly status: number;

  constructor(method: string, url: string, status: number, body: string) {
    super(`${method} ${url} was answered ${status}: ${body.slice(0, 500)}`);
    this.status = status;
  }
}

/** @throws {ShopRequestError} for every status but 2xx */
export async function get<T>(url: string): Promise<T> {
  return (await request<T>('GET', url)).body;
}

/** @throws {ShopRequestError} for every status but 2xx */
export async function post<T>(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer<T>> {
  return request<T>('POST', url, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
}

async function request<T>(
  method: string,
  url: string,
  body?: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer<T>> {
  const response = await fetch(url, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await response.text();
  if (!response.ok) throw new ShopRequestError(method, url, response.status, text);
  return { status: response.status, headers: response.headers, body: JSON.parse(text) as T };
}
