import { runService } from '@warren/service';
import { loyaltyService } from './index.ts';

await runService(loyaltyService);
