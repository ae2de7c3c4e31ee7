package terraform

import (
	"strconv"

	"github.com/zclconf/go-cty/cty"
)

func number10(i int) string { return strconv.Itoa(i) }

// awsIdentity are the rules about policies, keys, logs of what was done, and passwords.
func awsIdentity() []Rule {
	const askActions = "?the actions and resources that are needed"
	policies := "aws_iam_policy aws_iam_role_policy aws_iam_user_policy aws_iam_group_policy aws_ssoadmin_permission_set_inline_policy"
	written := func(bad func(statement) bool) judge {
		return all(policy("policy", bad, "Action", askActions), policy("inline_policy", bad, "Action", askActions))
	}
	return []Rule{
		rule("aws-iam-full-admin", "The policy allows everything", critical,
			"CKV_AWS_62 CKV_AWS_1 IAM.1 iam_customer_attached_policy_no_administrative_privileges iam_inline_policy_no_administrative_privileges",
			policies+" data.aws_iam_policy_document", byDocument(documents(fullAdmin, askActions), written(fullAdmin))),
		rule("aws-iam-any-action", "The policy allows every action", high,
			"CKV_AWS_63 CKV_AWS_49", policies+" data.aws_iam_policy_document", byDocument(documents(anyAction, askActions), written(anyAction))),
		rule("aws-iam-admin-attached", "Full administration is attached", high,
			"CKV_AWS_274", "aws_iam_role aws_iam_policy_attachment aws_iam_role_policy_attachment aws_iam_user_policy_attachment aws_iam_group_policy_attachment aws_ssoadmin_managed_policy_attachment",
			all(isNot("policy_arn", askActions, "arn:aws:iam::aws:policy/AdministratorAccess"),
				isNot("managed_policy_arn", askActions, "arn:aws:iam::aws:policy/AdministratorAccess"),
				accepts("managed_policy_arns", askActions, true, func(v cty.Value) bool {
					list, _ := texts(v)
					for _, arn := range list {
						if arn == "arn:aws:iam::aws:policy/AdministratorAccess" {
							return false
						}
					}
					return true
				}))),
		rule("aws-iam-user-policy", "A user has policies of its own, without a group", low,
			"CKV_AWS_40 AVD-AWS-0143 aws-iam-no-user-attached-policies IAM.2", "aws_iam_user_policy_attachment aws_iam_user_policy aws_iam_policy_attachment", ownPolicy),
		rule("aws-iam-assume-anybody", "Anybody may take the role", critical,
			"CKV_AWS_61", "aws_iam_role", policy("assume_role_policy", openPrincipal, "Principal", "?the principals that take the role")),
		rule("aws-iam-password-length", "Passwords may be short", medium,
			"CKV_AWS_10 AVD-AWS-0063 aws-iam-set-minimum-password-length iam_password_policy_minimum_length_14", "aws_iam_account_password_policy", atLeast("minimum_password_length", 14, false)),
		rule("aws-iam-password-lower", "Passwords need no lowercase letter", low,
			"CKV_AWS_11 AVD-AWS-0058 aws-iam-require-lowercase-in-passwords iam_password_policy_lowercase", "aws_iam_account_password_policy", is("require_lowercase_characters", "true", false)),
		rule("aws-iam-password-number", "Passwords need no number", low,
			"CKV_AWS_12 AVD-AWS-0059 aws-iam-require-numbers-in-passwords iam_password_policy_number", "aws_iam_account_password_policy", is("require_numbers", "true", false)),
		rule("aws-iam-password-reuse", "Passwords may be used again", low,
			"CKV_AWS_13 AVD-AWS-0056 aws-iam-no-password-reuse iam_password_policy_reuse_24", "aws_iam_account_password_policy", atLeast("password_reuse_prevention", 24, false)),
		rule("aws-iam-password-symbol", "Passwords need no symbol", low,
			"CKV_AWS_14 AVD-AWS-0060 aws-iam-require-symbols-in-passwords iam_password_policy_symbol", "aws_iam_account_password_policy", is("require_symbols", "true", false)),
		rule("aws-iam-password-upper", "Passwords need no uppercase letter", low,
			"CKV_AWS_15 AVD-AWS-0061 aws-iam-require-uppercase-in-passwords iam_password_policy_uppercase", "aws_iam_account_password_policy", is("require_uppercase_characters", "true", false)),

		rule("aws-kms-rotation", "The key is not rotated", medium,
			"CKV_AWS_7 AVD-AWS-0065 aws-kms-auto-rotate-keys kms_cmk_rotation_enabled KMS.4", "aws_kms_key",
			unless("customer_master_key_spec", asymmetric, unless("key_usage", one("SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"), is("enable_key_rotation", "true", false)))),
		rule("aws-kms-policy-anybody", "The key's policy lets anybody use it", critical,
			"CKV_AWS_33 kms_key_not_publicly_accessible KMS.5", "aws_kms_key", policy("policy", openPrincipal, "Principal", "?the principals that may use the key")),
		rule("aws-secret-key", "The secret is not encrypted by a key of yours", low,
			"CKV_AWS_149 AVD-AWS-0098 aws-ssm-secret-use-customer-key", "aws_secretsmanager_secret", states("kms_key_id", askKey)),
		rule("aws-cloudtrail-regions", "The trail leaves regions out", medium,
			"CKV_AWS_67 AVD-AWS-0014 aws-cloudtrail-enable-all-regions cloudtrail_multi_region_enabled CloudTrail.1", "aws_cloudtrail", is("is_multi_region_trail", "true", false)),
		rule("aws-cloudtrail-validation", "Changes to the trail's logs would not be noticed", medium,
			"CKV_AWS_36 AVD-AWS-0016 aws-cloudtrail-enable-log-validation cloudtrail_log_file_validation_enabled CloudTrail.4", "aws_cloudtrail", is("enable_log_file_validation", "true", false)),
		rule("aws-cloudtrail-key", "The trail is not encrypted by a key of yours", medium,
			"CKV_AWS_35 AVD-AWS-0015 aws-cloudtrail-enable-at-rest-encryption aws-cloudtrail-encryption-customer-managed-key cloudtrail_kms_encryption_enabled CloudTrail.2", "aws_cloudtrail", states("kms_key_id", askKey)),
		rule("aws-cloudtrail-off", "The trail does not log", high, "CKV_AWS_251", "aws_cloudtrail", is("enable_logging", "true", true)),
		rule("aws-loggroup-key", "The log group is not encrypted by a key of yours", low,
			"CKV_AWS_158 AVD-AWS-0017 aws-cloudwatch-log-group-customer-key", "aws_cloudwatch_log_group", states("kms_key_id", askKey)),
		rule("aws-loggroup-retention", "The log group keeps logs for less than a year", low,
			"CKV_AWS_338", "aws_cloudwatch_log_group", unless("retention_in_days", one("0"), atLeast("retention_in_days", 365, false))),
	}
}

func byDocument(data, other judge) judge {
	return func(s *subject) ([]flaw, bool) {
		if s.address.Data {
			return data(s)
		}
		return other(s)
	}
}

func asymmetric(v cty.Value) bool {
	s, ok := text(v)
	return ok && s != "SYMMETRIC_DEFAULT"
}

// ownPolicy breaks where a policy is given to users and not to a group or role.
func ownPolicy(s *subject) ([]flaw, bool) {
	field := "user"
	if s.address.Type == "aws_iam_policy_attachment" {
		field = "users"
		v, how := at(s.value, field)
		if how != given || isList(v) && v.LengthInt() == 0 {
			return nil, how != opaque
		}
	}
	return []flaw{{field: field, wanted: "?the group or role that gets the policy"}}, true
}
