// `helm test`: every service is ready, and one order travels all the way. Ends with 1 and a sentence where it does not.
// Its arguments are the services, each as name:port.
const addresses = new Map(process.argv.slice(2).map((address) => [address.split(':')[0], address]));
const services = [...addresses.keys()];
const started = Date.now();
const deadline = started + 120_000;

async function call(service, path, init = {}) {
  const url = `http://${addresses.get(service)}${path}`;
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(5_000) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${service}${path} answers ${response.status}: ${text.slice(0, 300)}`);
  return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text;
}

const post = (service, path, body) =>
  call(service, path, {
    method: 'POST',
    // A second attempt after an answer that got lost must not make a second order.
    headers: { 'content-type': 'application/json', 'idempotency-key': `smoke-${service}-${started}` },
    body: JSON.stringify(body),
  });

async function eventually(what, attempt) {
  for (;;) {
    try {
      const result = await attempt();
      console.log(`ok: ${what}`);
      return result;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what}: ${error.message}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

function expect(condition, found) {
  if (!condition) throw new Error(`not yet: ${JSON.stringify(found).slice(0, 300)}`);
}

try {
  await Promise.all(services.map((name) => eventually(`${name} is ready`, () => call(name, '/readyz'))));
  if (!['user', 'order', 'payment'].every((name) => services.includes(name))) process.exit(0);
  const email = `smoke-${started}@warren.example`;
  const user = await eventually('a user is made', () =>
    post('user', '/users', { email, name: 'Smoke Test' }),
  );
  const order = await eventually('an order is placed', () =>
    post('order', '/orders', { userId: user.id, lines: [{ sku: 'smoke', quantity: 1, unitPrice: 10 }] }),
  );
  await eventually('the order is completed', async () => {
    const found = await call('order', `/orders/${order.id}`);
    expect(found.status === 'completed', found);
  });
  if (services.includes('loyalty'))
    await eventually('the points are there', async () => {
      const found = await call('loyalty', `/loyalty/${user.id}`);
      expect(found.points > 0, found);
    });
  if (services.includes('event-log'))
    await eventually('the event log has it', async () => {
      const found = await call('event-log', `/events?aggregateId=${encodeURIComponent(order.id)}`);
      expect(JSON.stringify(found).includes('OrderCompleted'), found);
    });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
