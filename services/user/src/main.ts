import { runService } from '@warren/service';
import { userService } from './index.ts';

await runService(userService);
