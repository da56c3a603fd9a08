import { runService } from '@warren/service';
import { orderService } from './index.ts';

await runService(orderService);
