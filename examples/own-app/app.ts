// An app of your own with a VPC that is there already: `npm install millrace aws-cdk-lib constructs`, then `npx cdk deploy --all`.
import { App, Stack } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { type Environment, Millrace, StreamBucket, WalVolumes } from 'millrace';

const app = new App();

const environment: Environment = {
  name: 'orders',
  account: '444444444444',
  region: 'eu-west-1',
  zones: ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'],
  network: {
    vpcId: 'vpc-0123456789abcdef0',
    vpcCidr: '10.40.0.0/16',
    subnetIds: {
      'eu-west-1a': 'subnet-0123456789abcdef0',
      'eu-west-1b': 'subnet-0123456789abcdef1',
      'eu-west-1c': 'subnet-0123456789abcdef2',
    },
  },
  clients: { allowedCidrs: ['10.40.0.0/16'], acceptPlaintext: true },
};

// All of it ...
new Millrace(app, 'Orders', { environment });

// ... or parts of it, beside what is yours.
const own = new Stack(app, 'Own', { env: { account: environment.account, region: environment.region } });
const streams = new StreamBucket(own, 'Streams', { bucketName: 'orders-streams-444444444444' });
new WalVolumes(own, 'Wal', {
  cluster: 'orders',
  slots: [{ nodeId: 1, zone: 'eu-west-1a' }],
  sizeGiB: 8,
  iops: 500,
});
streams.grantBroker(new Role(own, 'Reader', { assumedBy: new ServicePrincipal('ec2.amazonaws.com') }));
