/** Loaded into jest and so into its workers: a worker whose jest was killed ends at once, not after its test file. */
if (process.send !== undefined) {
  const end = () => process.exit(1);
  process.once('disconnect', end);
  // Whoever listens keeps the channel to jest open, and the worker alive. Jest lets a worker go by listening no more.
  process.on('removeListener', (event) => {
    if (event === 'message' && process.listenerCount('message') === 0) process.off('disconnect', end);
  });
}
