import { runService } from '@warren/service';
import { paymentService } from './index.ts';

await runService(paymentService);
