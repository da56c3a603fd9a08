import { runService } from '@warren/service';
import { notificationService } from './index.ts';

await runService(notificationService);
