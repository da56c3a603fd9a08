/** What has to be done when this process ends, in one listener. Only what is synchronous gets done. */
const tasks = new Set<() => void>();

/** Runs the task when this process exits, unless it is disposed before. */
export function onExit(task: () => void): Disposable {
  if (tasks.size === 0) process.on('exit', runAll);
  tasks.add(task);
  return {
    [Symbol.dispose]() {
      tasks.delete(task);
      if (tasks.size === 0) process.off('exit', runAll);
    },
  };
}

function runAll(): void {
  // The youngest first: processes end before their folder is removed.
  for (const task of [...tasks].reverse()) task();
}
