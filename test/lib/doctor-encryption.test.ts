import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { EC2Client } from '@aws-sdk/client-ec2';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defaultKey } from '../../bin/doctor-encryption.ts';

let server: Server;
let client: EC2Client;
let key = '';
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'text/xml');
      response.end(
        `<GetEbsDefaultKmsKeyIdResponse><kmsKeyId>${key}</kmsKeyId></GetEbsDefaultKmsKeyIdResponse>`,
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  client = new EC2Client({
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: 'model', secretAccessKey: 'model' },
  });
});
afterAll(async () => {
  client.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

test("volumes under AWS's own key need nothing", async () => {
  key = 'alias/aws/ebs';
  expect(await defaultKey(client)).toEqual([['ok', 'volumes are encrypted with alias/aws/ebs']]);
});

test('under a key of the account, whose policy has to let launches and attachments use it, that is told', async () => {
  key = 'arn:aws:kms:eu-central-1:111111111111:key/1234';
  const [[level, says] = []] = await defaultKey(client);
  expect(level).toBe('warning');
  expect(says).toMatch(/key.1234: without kms:CreateGrant for AWSServiceRoleForAutoScaling .* brokers' role/);
});
