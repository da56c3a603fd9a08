/** `npm run cluster:load -- ARCHIVE...`: makes images known to the cluster of `npm run cluster:up`. */
import { EnvironmentError, loadImages, printer, readCluster } from '@warren/environment';

const archives = process.argv.slice(2);
const cluster = readCluster();
try {
  if (archives.length === 0 || archives.includes('--help'))
    throw new TypeError(
      'usage: npm run cluster:load -- ARCHIVE...\nArchives are written by: npm run images -- --archive FOLDER',
    );
  if (cluster === undefined) throw new TypeError('no cluster runs. Start one with: npm run cluster:up');
  for (const archive of archives) await loadImages(cluster, archive, { report: printer() });
} catch (error) {
  if (!(error instanceof EnvironmentError || error instanceof TypeError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
