package terraform

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
)

// awsCompute are the rules about instances, networks, load balancers, clusters and
// functions.
func awsCompute() []Rule {
	const askWho = "?the addresses that may connect"
	groups := "aws_security_group aws_default_security_group aws_security_group_rule aws_vpc_security_group_ingress_rule"
	return []Rule{
		rule("aws-ec2-imdsv2", "The instance's metadata can be read without a session token", high,
			"CKV_AWS_79 AVD-AWS-0028 AVD-AWS-0130 aws-ec2-enforce-http-token-imds aws-ec2-enforce-launch-config-http-token-imds ec2_instance_imdsv2_enabled EC2.8",
			"aws_instance aws_launch_template aws_launch_configuration",
			unless("metadata_options[0].http_endpoint", one("disabled"), is("metadata_options[0].http_tokens", `"required"`, false))),
		rule("aws-ec2-public-address", "The instance gets a public address", medium,
			"CKV_AWS_88 AVD-AWS-0009 aws-ec2-no-public-ip ec2_instance_public_ip EC2.9", "aws_instance aws_launch_configuration", is("associate_public_ip_address", "false", true)),
		rule("aws-subnet-public-addresses", "Instances in the subnet get public addresses", medium,
			"CKV_AWS_130 AVD-AWS-0164 aws-ec2-no-public-ip-subnet vpc_subnet_no_public_ip_by_default EC2.15", "aws_subnet", is("map_public_ip_on_launch", "false", true)),
		rule("aws-sg-open-ssh", "SSH is open to the internet", high,
			"CKV_AWS_24 ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22 EC2.13", groups, openGroup(askWho, 22)),
		rule("aws-sg-open-rdp", "RDP is open to the internet", high,
			"CKV_AWS_25 ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_3389 EC2.14", groups, openGroup(askWho, 3389)),
		rule("aws-sg-open-http", "HTTP without encryption is open to the internet", low,
			"CKV_AWS_260", groups, openGroup(askWho, 80)),
		rule("aws-sg-open-database", "A port of databases is open to the internet", high, "", groups, openGroup(askWho, databasePorts...)),
		rule("aws-sg-open-all", "All ports are open to the internet", critical, "CKV_AWS_277", groups, openGroup(askWho)),
		rule("aws-sg-open-any", "A port is open to the internet", medium,
			"AVD-AWS-0107 aws-ec2-no-public-ingress-sgr aws-vpc-no-public-ingress-sgr", groups, openGroup(askWho, anyPort)),
		rule("aws-sg-open-egress", "The group lets everything out", low,
			"CKV_AWS_382 AVD-AWS-0104 aws-ec2-no-public-egress-sgr aws-vpc-no-public-egress-sgr", "aws_security_group aws_security_group_rule aws_vpc_security_group_egress_rule", openEgress),
		rule("aws-default-sg-closed", "The VPC's default security group lets traffic through", low,
			"CKV2_AWS_12 AVD-AWS-0173 ec2_securitygroup_default_restrict_traffic EC2.2", "aws_default_security_group", all(gone("ingress"), gone("egress"))),
		rule("aws-nacl-open", "The network ACL lets SSH or RDP in from the internet", medium,
			"AVD-AWS-0105 aws-ec2-no-public-ingress-acl EC2.21", "aws_network_acl_rule aws_network_acl aws_default_network_acl", openACL),
		rule("aws-vpc-flow-logs", "The VPC's traffic is not logged", medium,
			"CKV2_AWS_11 AVD-AWS-0178 aws-ec2-require-vpc-flow-logs-for-all-vpcs vpc_flow_logs_enabled EC2.6", "aws_vpc",
			beside("aws_flow_log", "vpc_id", "", nil, "?where the flow logs go: a bucket or a log group with its role", anything)),

		rule("aws-lb-listener-encrypted", "The listener takes HTTP without encryption", high,
			"CKV_AWS_2 AVD-AWS-0054 aws-elb-http-not-used", "aws_lb_listener aws_alb_listener", plainListener),
		rule("aws-lb-tls", "The listener allows TLS below 1.2", high,
			"CKV_AWS_103 AVD-AWS-0047 aws-elb-use-secure-tls-policy elbv2_insecure_ssl_ciphers", "aws_lb_listener aws_alb_listener", oldListener),
		rule("aws-lb-invalid-headers", "The load balancer passes invalid headers on", medium,
			"CKV_AWS_131 AVD-AWS-0052 aws-elb-drop-invalid-headers elbv2_alb_drop_invalid_header_fields_enabled ELB.4", "aws_lb aws_alb",
			unless("load_balancer_type", one("network", "gateway"), is("drop_invalid_header_fields", "true", false))),
		rule("aws-lb-deletion-protection", "The load balancer can be deleted by mistake", low,
			"CKV_AWS_150 elbv2_deletion_protection ELB.6", "aws_lb aws_alb", is("enable_deletion_protection", "true", false)),
		rule("aws-lb-logging", "Requests to the load balancer are not logged", low,
			"CKV_AWS_91 elbv2_logging_enabled", "aws_lb aws_alb", accepts("access_logs[0].enabled", "?the bucket that takes the logs", false, one("true"))),
		rule("aws-cloudfront-https", "The distribution serves HTTP without encryption", high,
			"CKV_AWS_34 AVD-AWS-0012 aws-cloudfront-enforce-https CloudFront.3", "aws_cloudfront_distribution", all(
				isNot("default_cache_behavior[0].viewer_protocol_policy", `"redirect-to-https"`, "allow-all"),
				every("ordered_cache_behavior", func(f string) judge {
					return isNot(f+".viewer_protocol_policy", `"redirect-to-https"`, "allow-all")
				}))),
		rule("aws-cloudfront-tls", "The distribution allows TLS below 1.2", high,
			"CKV_AWS_174 AVD-AWS-0013 aws-cloudfront-use-secure-tls-policy", "aws_cloudfront_distribution",
			unless("viewer_certificate[0].cloudfront_default_certificate", one("true"),
				accepts("viewer_certificate[0].minimum_protocol_version", `"TLSv1.2_2021"`, false, one("TLSv1.2_2018", "TLSv1.2_2019", "TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025")))),
		rule("aws-cloudfront-logging", "Requests to the distribution are not logged", low,
			"CKV_AWS_86 AVD-AWS-0010 aws-cloudfront-enable-logging cloudfront_distributions_logging_enabled CloudFront.5", "aws_cloudfront_distribution",
			states("logging_config", "?the bucket that takes the logs")),
		rule("aws-apigateway-tls", "The domain allows TLS below 1.2", high,
			"CKV_AWS_206 AVD-AWS-0005 aws-api-gateway-use-secure-tls-policy", "aws_api_gateway_domain_name", is("security_policy", `"TLS_1_2"`, false)),
		rule("aws-apigateway-tracing", "Requests to the API are not traced", low,
			"CKV_AWS_73 AVD-AWS-0003 aws-api-gateway-enable-tracing APIGateway.3", "aws_api_gateway_stage", is("xray_tracing_enabled", "true", false)),

		rule("aws-eks-logging", "The cluster's control plane is not logged in full", medium,
			"CKV_AWS_37 AVD-AWS-0038 aws-eks-enable-control-plane-logging eks_control_plane_logging_all_types_enabled EKS.8", "aws_eks_cluster", controlPlaneLogs),
		rule("aws-eks-public-endpoint", "The cluster's API can be reached from the internet", medium,
			"CKV_AWS_39 AVD-AWS-0040 aws-eks-no-public-cluster-access eks_cluster_not_publicly_accessible EKS.1", "aws_eks_cluster", is("vpc_config[0].endpoint_public_access", "false", false)),
		rule("aws-eks-public-addresses", "The cluster's API can be reached from every address", high,
			"CKV_AWS_38 AVD-AWS-0041 aws-eks-no-public-cluster-access-to-cidr", "aws_eks_cluster", unless("vpc_config[0].endpoint_public_access", one("false"),
				accepts("vpc_config[0].public_access_cidrs", "?the addresses that administer the cluster", false, func(v cty.Value) bool { return v.LengthInt() > 0 && !openList(v) }))),
		rule("aws-eks-secrets-encrypted", "The cluster's secrets are not encrypted by a key of yours", medium,
			"CKV_AWS_58 AVD-AWS-0039 aws-eks-encrypt-secrets eks_cluster_kms_cmk_encryption_in_secrets_enabled EKS.3", "aws_eks_cluster", states("encryption_config", askKey)),
		rule("aws-ecs-insights", "The cluster has no container insights", low,
			"CKV_AWS_65 AVD-AWS-0034 aws-ecs-enable-container-insight ECS.12", "aws_ecs_cluster", containerInsights),
		rule("aws-ecs-public-address", "Tasks of the service get public addresses", medium,
			"CKV_AWS_333 ecs_service_no_assign_public_ip ECS.2", "aws_ecs_service", is("network_configuration[0].assign_public_ip", "false", true)),
		rule("aws-lambda-tracing", "Calls of the function are not traced", low,
			"CKV_AWS_50 AVD-AWS-0066 aws-lambda-enable-tracing", "aws_lambda_function", accepts("tracing_config[0].mode", `"Active"`, false, one("Active", "PassThrough"))),
		rule("aws-lambda-url-auth", "Anybody may call the function by its URL", high,
			"CKV_AWS_258 awslambda_function_url_public", "aws_lambda_function_url", isNot("authorization_type", `"AWS_IAM"`, "NONE")),
		rule("aws-lambda-permission-anybody", "Anybody may call the function", critical,
			"CKV_AWS_301", "aws_lambda_permission", isNot("principal", "?the service or account that calls the function", "*")),
		rule("aws-codebuild-privileged", "Builds run with all privileges", medium,
			"CKV_AWS_316 CodeBuild.5", "aws_codebuild_project", is("environment[0].privileged_mode", "false", true)),
		rule("aws-batch-privileged", "The job's container runs with all privileges", high,
			"CKV_AWS_210", "aws_batch_job_definition", document("container_properties", "privileged", func(d cty.Value) bool {
				v, how := at(d, "privileged")
				return how == given && same(v, "true")
			}, "false")),
		rule("aws-sagemaker-direct-internet", "The notebook reaches the internet directly", medium,
			"CKV_AWS_122 sagemaker_notebook_instance_without_direct_internet_access_configured SageMaker.1", "aws_sagemaker_notebook_instance", is("direct_internet_access", `"Disabled"`, false)),
		rule("aws-sagemaker-root", "Users of the notebook are root", medium,
			"CKV_AWS_307 sagemaker_notebook_instance_root_access_disabled SageMaker.3", "aws_sagemaker_notebook_instance", is("root_access", `"Disabled"`, false)),
	}
}

func controlPlaneLogs(s *subject) ([]flaw, bool) {
	const wanted = `["api","audit","authenticator","controllerManager","scheduler"]`
	v, how := at(s.value, "enabled_cluster_log_types")
	if how == opaque {
		return nil, false
	}
	if how == given {
		list, all := texts(v)
		if len(list) >= 5 {
			return nil, true
		}
		if !all {
			return nil, false
		}
	}
	return []flaw{{field: "enabled_cluster_log_types", wanted: wanted, detail: shown(v)}}, true
}

func containerInsights(s *subject) ([]flaw, bool) {
	list, known := many(s.value, "setting")
	if !known {
		return nil, false
	}
	for i, setting := range list {
		name, _ := at(setting, "name")
		value, how := at(setting, "value")
		if same(name, "containerInsights") {
			if how == opaque {
				return nil, false
			}
			if on := one("enabled", "enhanced"); on(value) {
				return nil, true
			}
			return []flaw{{field: fmt.Sprintf("setting[%d].value", i), wanted: `"enabled"`, detail: shown(value)}}, true
		}
	}
	return []flaw{{field: fmt.Sprintf("setting[%d]", len(list)), wanted: `{"name":"containerInsights","value":"enabled"}`}}, true
}

func plainListener(s *subject) ([]flaw, bool) {
	protocol, how := at(s.value, "protocol")
	if how == opaque {
		return nil, false
	}
	if how == given && !same(protocol, "HTTP") {
		return nil, true
	}
	if how == absent {
		port, stated := at(s.value, "port")
		if stated == opaque {
			return nil, false
		}
		if !same(port, "80") {
			return nil, true
		}
	}
	actions, known := many(s.value, "default_action")
	if !known {
		return nil, false
	}
	for _, action := range actions {
		to, how := at(action, "redirect[0].protocol")
		if how == opaque {
			return nil, false
		}
		if kind, _ := at(action, "type"); same(kind, "redirect") && (how == absent || same(to, "HTTPS")) {
			return nil, true
		}
	}
	return []flaw{{field: "protocol", wanted: "?a certificate for HTTPS, or a default action that redirects to it", detail: shown(protocol)}}, true
}

func oldListener(s *subject) ([]flaw, bool) {
	protocol, how := at(s.value, "protocol")
	if how == opaque {
		return nil, false
	}
	if !one("HTTPS", "TLS")(protocol) {
		return nil, true
	}
	return isNot("ssl_policy", `"ELBSecurityPolicy-TLS13-1-2-2021-06"`, "", "ELBSecurityPolicy-2015-05", "ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-FS-2018-06",
		"ELBSecurityPolicy-TLS-1-0-2015-04", "ELBSecurityPolicy-TLS-1-1-2017-01", "ELBSecurityPolicy-FS-1-1-2019-08",
		"ELBSecurityPolicy-TLS13-1-0-2021-06", "ELBSecurityPolicy-TLS13-1-1-2021-06")(s)
}
