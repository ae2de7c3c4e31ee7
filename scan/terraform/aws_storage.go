package terraform

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/fact"
)

const (
	low      = fact.SeverityLow
	medium   = fact.SeverityMedium
	high     = fact.SeverityHigh
	critical = fact.SeverityCritical
)

const askKey = "?the ARN of the KMS key to encrypt with"

// accessBlock is what a bucket's public access block has to hold.
const accessBlock = `{"block_public_acls":true,"block_public_policy":true,"ignore_public_acls":true,"restrict_public_buckets":true}`

// blocked wants one of the switches of a bucket's public access block, which a bucket
// without such a block lacks.
func blocked(field string) judge {
	return byKind(map[string]judge{
		"aws_s3_bucket_public_access_block": is(field, "true", false),
		"aws_s3_bucket":                     beside("aws_s3_bucket_public_access_block", "bucket", "bucket", nil, accessBlock, anything),
	})
}

const bucketAndBlock = "aws_s3_bucket aws_s3_bucket_public_access_block"

// awsStorage are the rules about buckets, volumes, file systems, queues and topics.
func awsStorage() []Rule {
	return []Rule{
		rule("aws-s3-acl-public-read", "The bucket's ACL lets anybody read", high,
			"CKV_AWS_20 AVD-AWS-0092 aws-s3-no-public-access-with-acl s3_bucket_public_list_acl", "aws_s3_bucket aws_s3_bucket_acl",
			isNot("acl", `"private"`, "public-read", "public-read-write", "website")),
		rule("aws-s3-acl-public-write", "The bucket's ACL lets anybody write", critical,
			"CKV_AWS_57 s3_bucket_public_write_acl", "aws_s3_bucket aws_s3_bucket_acl", isNot("acl", `"private"`, "public-read-write")),
		rule("aws-s3-acl-authenticated", "The bucket's ACL lets every AWS account read", high,
			"CKV2_AWS_43", "aws_s3_bucket aws_s3_bucket_acl", isNot("acl", `"private"`, "authenticated-read")),
		rule("aws-s3-block-public-acls", "Public ACLs of the bucket are not blocked", high,
			"CKV_AWS_53 AVD-AWS-0086 aws-s3-block-public-acls", bucketAndBlock, blocked("block_public_acls")),
		rule("aws-s3-block-public-policy", "Public policies of the bucket are not blocked", high,
			"CKV_AWS_54 AVD-AWS-0087 aws-s3-block-public-policy", bucketAndBlock, blocked("block_public_policy")),
		rule("aws-s3-ignore-public-acls", "Public ACLs of the bucket are not ignored", high,
			"CKV_AWS_55 AVD-AWS-0091 aws-s3-ignore-public-acls", bucketAndBlock, blocked("ignore_public_acls")),
		rule("aws-s3-restrict-public-buckets", "Access through public policies of the bucket is not restricted", high,
			"CKV_AWS_56 AVD-AWS-0093 aws-s3-no-public-buckets", bucketAndBlock, blocked("restrict_public_buckets")),
		rule("aws-s3-public-access-block", "The bucket has no public access block", medium,
			"CKV2_AWS_6 AVD-AWS-0094 aws-s3-specify-public-access-block s3_bucket_level_public_access_block S3.8", "aws_s3_bucket",
			beside("aws_s3_bucket_public_access_block", "bucket", "bucket", nil, accessBlock, anything)),
		rule("aws-s3-encryption", "The bucket states no encryption at rest", medium,
			"CKV_AWS_19 AVD-AWS-0088 aws-s3-enable-bucket-encryption s3_bucket_default_encryption", "aws_s3_bucket",
			beside("aws_s3_bucket_server_side_encryption_configuration", "bucket", "bucket", states("server_side_encryption_configuration", `[]`),
				`{"rule":[{"apply_server_side_encryption_by_default":[{"sse_algorithm":"AES256"}]}]}`, anything)),
		rule("aws-s3-versioning", "The bucket keeps no versions", medium,
			"CKV_AWS_21 AVD-AWS-0090 aws-s3-enable-versioning s3_bucket_object_versioning S3.14", "aws_s3_bucket aws_s3_bucket_versioning",
			byKind(map[string]judge{
				"aws_s3_bucket_versioning": is("versioning_configuration[0].status", `"Enabled"`, false),
				"aws_s3_bucket": func(s *subject) ([]flaw, bool) {
					if _, how := at(s.value, "versioning"); how != absent {
						return is("versioning[0].enabled", "true", false)(s)
					}
					return beside("aws_s3_bucket_versioning", "bucket", "bucket", nil, `{"versioning_configuration":[{"status":"Enabled"}]}`, anything)(s)
				},
			})),
		rule("aws-s3-logging", "Access to the bucket is not logged", low,
			"CKV_AWS_18 AVD-AWS-0089 aws-s3-enable-bucket-logging aws-s3-enable-logging s3_bucket_server_access_logging_enabled S3.9", "aws_s3_bucket",
			unless("acl", one("log-delivery-write"), beside("aws_s3_bucket_logging", "bucket", "bucket", states("logging", `[]`), "?the bucket that takes the logs", anything))),
		rule("aws-s3-policy-anybody", "The bucket's policy lets anybody act on it", critical,
			"CKV_AWS_70", "aws_s3_bucket aws_s3_bucket_policy", policy("policy", openPrincipal, "Principal", "?the principals that may use the bucket")),

		rule("aws-ebs-encrypted", "The volume is not encrypted", high,
			"CKV_AWS_3 AVD-AWS-0026 aws-ebs-enable-volume-encryption aws-ec2-enable-volume-encryption ec2_ebs_volume_encryption EC2.3", "aws_ebs_volume", is("encrypted", "true", false)),
		rule("aws-ebs-default-encryption", "New volumes of the account are not encrypted by default", medium,
			"CKV_AWS_106 ec2_ebs_default_encryption EC2.7", "aws_ebs_encryption_by_default", is("enabled", "true", true)),
		rule("aws-ec2-disks-encrypted", "A disk of the instance is not encrypted", high,
			"CKV_AWS_8 AVD-AWS-0131 AVD-AWS-0008 aws-ec2-enable-at-rest-encryption", "aws_instance aws_launch_configuration",
			all(
				unless("root_block_device[0].snapshot_id", isText, is("root_block_device[0].encrypted", "true", false)),
				every("ebs_block_device", func(f string) judge {
					return unless(f+".snapshot_id", isText, is(f+".encrypted", "true", false))
				}))),
		rule("aws-efs-encrypted", "The file system is not encrypted", high,
			"CKV_AWS_42 AVD-AWS-0037 aws-efs-enable-at-rest-encryption efs_encryption_at_rest_enabled EFS.1", "aws_efs_file_system", is("encrypted", "true", false)),
		rule("aws-sns-encrypted", "The topic is not encrypted", medium,
			"CKV_AWS_26 AVD-AWS-0095 aws-sns-enable-topic-encryption sns_topics_kms_encryption_at_rest_enabled SNS.1", "aws_sns_topic", states("kms_master_key_id", `"alias/aws/sns"`)),
		rule("aws-sqs-encrypted", "The queue is not encrypted", medium,
			"CKV_AWS_27 AVD-AWS-0096 aws-sqs-enable-queue-encryption sqs_queues_server_side_encryption_enabled SQS.1", "aws_sqs_queue",
			unless("kms_master_key_id", isText, is("sqs_managed_sse_enabled", "true", false))),
		rule("aws-sqs-policy-anybody", "The queue's policy lets anybody act on it", high,
			"CKV_AWS_168", "aws_sqs_queue aws_sqs_queue_policy", policy("policy", openPrincipal, "Principal", "?the principals that may use the queue")),
		rule("aws-sns-policy-anybody", "The topic's policy lets anybody act on it", high,
			"CKV_AWS_169", "aws_sns_topic_policy", policy("policy", openPrincipal, "Principal", "?the principals that may use the topic")),
		rule("aws-kinesis-encrypted", "The stream is not encrypted", medium,
			"CKV_AWS_43 AVD-AWS-0064 aws-kinesis-enable-in-transit-encryption Kinesis.1", "aws_kinesis_stream", is("encryption_type", `"KMS"`, false)),
		rule("aws-ecr-immutable", "Tags of the repository's images can be moved", medium,
			"CKV_AWS_51 AVD-AWS-0031 aws-ecr-enforce-immutable-repository ecr_repositories_tag_immutability ECR.2", "aws_ecr_repository",
			accepts("image_tag_mutability", `"IMMUTABLE"`, false, one("IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"))),
		rule("aws-ecr-scan", "Images are not scanned when they are pushed", medium,
			"CKV_AWS_163 AVD-AWS-0030 aws-ecr-enable-image-scans ecr_repositories_scan_images_on_push_enabled ECR.1", "aws_ecr_repository", is("image_scanning_configuration[0].scan_on_push", "true", false)),
		rule("aws-ecr-policy-anybody", "The repository's policy lets anybody act on it", high,
			"CKV_AWS_32 AVD-AWS-0032 aws-ecr-no-public-access", "aws_ecr_repository_policy", policy("policy", openPrincipal, "Principal", "?the principals that may use the repository")),
		rule("aws-workspaces-root-encrypted", "The root volume of the workspace is not encrypted", medium,
			"CKV_AWS_156", "aws_workspaces_workspace", is("root_volume_encryption_enabled", "true", false)),
		rule("aws-workspaces-user-encrypted", "The user volume of the workspace is not encrypted", medium,
			"CKV_AWS_155", "aws_workspaces_workspace", is("user_volume_encryption_enabled", "true", false)),
	}
}

func isText(v cty.Value) bool {
	s, ok := text(v)
	return ok && s != ""
}
