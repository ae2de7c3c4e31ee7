// Package awstest is a stand-in for Amazon Web Services behind one address: it
// speaks the wire protocols of the services (query XML, JSON 1.1, REST JSON and
// REST XML, as the API references describe them) far enough for a real SDK to
// ask what an inventory asks, with pages, throttling, errors and answers that
// break off. A call that it does not know fails the test.
package awstest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Failure is how a call fails instead of being answered.
type Failure struct {
	Status  int    // 0 for one that answers, but breaks off in the middle
	Code    string // of the error, in the service's own way of writing it
	Message string
	Times   int // how often; 0 for always
}

// Cloud is a stand-in. Its maps are set before the first call.
type Cloud struct {
	// Pages are answers on the wire, page by page. The key is
	// "region/service:Operation", or without region for every region. A page asks
	// for the one after it by holding the token "page-N", N counted from 1.
	Pages map[string][]string
	// Failures are by the same key.
	Failures map[string]*Failure

	t     *testing.T
	mu    sync.Mutex
	calls map[string]int
}

// New starts a stand-in that ends with the test, and gives its address.
func New(t *testing.T) (cloud *Cloud, address string) {
	t.Helper()
	cloud = &Cloud{Pages: map[string][]string{}, Failures: map[string]*Failure{}, t: t, calls: map[string]int{}}
	server := httptest.NewServer(cloud)
	t.Cleanup(server.Close)
	return cloud, server.URL
}

// Calls tells how often an operation was asked, by "region/service:Operation".
func (c *Cloud) Calls(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[key]
}

var (
	scope = regexp.MustCompile(`Credential=[^/]+/[0-9]+/([^/]+)/([^/]+)/aws4_request`)
	token = regexp.MustCompile(`page-([0-9]+)`)
)

// empty are the answers of an account with nothing in it, and so the calls that
// are known.
var empty = map[string]string{
	"ec2:DescribeRegions":                        `<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>`,
	"ec2:DescribeInstances":                      `<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>`,
	"ec2:DescribeVolumes":                        `<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>`,
	"ec2:DescribeImages":                         `<DescribeImagesResponse><imagesSet/></DescribeImagesResponse>`,
	"ec2:DescribeVpcs":                           `<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>`,
	"ec2:DescribeSubnets":                        `<DescribeSubnetsResponse><subnetSet/></DescribeSubnetsResponse>`,
	"ec2:DescribeSecurityGroups":                 `<DescribeSecurityGroupsResponse><securityGroupInfo/></DescribeSecurityGroupsResponse>`,
	"iam:GetAccountAuthorizationDetails":         `<GetAccountAuthorizationDetailsResponse><GetAccountAuthorizationDetailsResult><IsTruncated>false</IsTruncated></GetAccountAuthorizationDetailsResult></GetAccountAuthorizationDetailsResponse>`,
	"elasticloadbalancing:DescribeLoadBalancers": `<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers/></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>`,
	"elasticloadbalancing:DescribeListeners":     `<DescribeListenersResponse><DescribeListenersResult><Listeners/></DescribeListenersResult></DescribeListenersResponse>`,
	"elasticloadbalancing:DescribeRules":         `<DescribeRulesResponse><DescribeRulesResult><Rules/></DescribeRulesResult></DescribeRulesResponse>`,
	"elasticloadbalancing:DescribeTargetGroups":  `<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups/></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>`,
	"elasticloadbalancing:DescribeTargetHealth":  `<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions/></DescribeTargetHealthResult></DescribeTargetHealthResponse>`,
	"rds:DescribeDBInstances":                    `<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances/></DescribeDBInstancesResult></DescribeDBInstancesResponse>`,
	"rds:DescribeDBClusters":                     `<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters/></DescribeDBClustersResult></DescribeDBClustersResponse>`,
	"s3:ListBuckets":                             `<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>`,
	"s3:GetBucketLocation":                       `<LocationConstraint/>`,
	"s3:GetBucketAcl":                            `<AccessControlPolicy><AccessControlList/></AccessControlPolicy>`,
	"s3:GetBucketTagging":                        "",
	"s3:GetPublicAccessBlock":                    "",
	"s3:GetBucketPolicyStatus":                   "",
	"s3:GetBucketEncryption":                     "",
	"organizations:ListAccounts":                 `{"Accounts": []}`,
	"ecs:ListClusters":                           `{"clusterArns": []}`,
	"ecs:DescribeClusters":                       `{"clusters": [], "failures": []}`,
	"ecs:ListServices":                           `{"serviceArns": []}`,
	"ecs:DescribeServices":                       `{"services": [], "failures": []}`,
	"ecs:ListTasks":                              `{"taskArns": []}`,
	"ecs:DescribeTasks":                          `{"tasks": [], "failures": []}`,
	"ecs:DescribeTaskDefinition":                 `{"taskDefinition": {}}`,
	"ecr:DescribeRepositories":                   `{"repositories": []}`,
	"ecr:DescribeImages":                         `{"imageDetails": []}`,
	"tagging:GetResources":                       `{"ResourceTagMappingList": []}`,
	"eks:ListClusters":                           `{"clusters": []}`,
	"eks:DescribeCluster":                        `{"cluster": {}}`,
	"eks:ListNodegroups":                         `{"nodegroups": []}`,
	"eks:DescribeNodegroup":                      `{"nodegroup": {}}`,
	"lambda:ListFunctions":                       `{"Functions": []}`,
	"lambda:GetFunction":                         `{"Configuration": {}}`,
	"lambda:ListFunctionUrlConfigs":              `{"FunctionUrlConfigs": []}`,
	"securityhub:GetFindings":                    `{"Findings": []}`,
	"inspector2:ListFindings":                    `{"findings": []}`,
	"sts:GetCallerIdentity":                      `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/ci</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>`,
	"sts:AssumeRole":                             `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>assumed-secret</SecretAccessKey><SessionToken>assumed-token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
}

// absent are the errors by which S3 says that a bucket has none of what was
// asked for.
var absent = map[string]string{
	"s3:GetBucketTagging": "NoSuchTagSet", "s3:GetPublicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
	"s3:GetBucketPolicyStatus": "NoSuchBucketPolicy", "s3:GetBucketEncryption": "ServerSideEncryptionConfigurationNotFoundError",
}

// ServeHTTP answers one call.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil && r.Context().Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		c.t.Errorf("awstest: %v", err)
	}
	if err != nil { // the caller gave the call up while it was sent
		return
	}
	found := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil {
		c.t.Errorf("awstest: %s %s is not signed", r.Method, r.URL)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	region, service := found[1], found[2]
	name := service + ":" + operation(service, r, body)
	key := region + "/" + name
	answer, known := empty[name]
	if !known {
		c.t.Errorf("awstest: unknown call %s: %s %s", key, r.Method, r.URL)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	failure := c.count(key, name)
	if failure != nil && failure.Status != 0 {
		fail(w, service, failure)
		return
	}
	pages, set := c.Pages[key]
	if !set {
		pages, set = c.Pages[name]
	}
	if set {
		page := 1
		if at := token.FindStringSubmatch(string(body) + r.URL.RawQuery); at != nil {
			page, _ = strconv.Atoi(at[1])
		}
		if page < 1 || page > len(pages) {
			c.t.Errorf("awstest: %s was asked for page %d of %d", key, page, len(pages))
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer = pages[page-1]
	} else if code := absent[name]; code != "" {
		fail(w, service, &Failure{Status: http.StatusNotFound, Code: code})
		return
	}
	w.Header().Set("Content-Type", contentType(service))
	if failure != nil { // half a page
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		answer = answer[:len(answer)/2]
	}
	if _, err := io.WriteString(w, answer); err != nil {
		return
	}
	if failure != nil {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		panic(http.ErrAbortHandler)
	}
}

// count counts a call and gives its failure, if it is to fail.
func (c *Cloud) count(key, name string) *Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[key]++
	failure := c.Failures[key]
	if failure == nil {
		failure = c.Failures[name]
	}
	if failure == nil || failure.Times < 0 {
		return nil
	}
	if failure.Times > 0 {
		failure.Times--
		if failure.Times == 0 {
			failure.Times = -1
		}
	}
	return failure
}

// operation reads which call it is, in the service's protocol.
func operation(service string, r *http.Request, body []byte) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	switch service {
	case "s3":
		return bucketOperation(r)
	case "lambda", "eks", "securityhub", "inspector2":
		for _, route := range routes {
			if route.service == service && route.method == r.Method && route.path.MatchString(r.URL.EscapedPath()) {
				return route.operation
			}
		}
		return ""
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

var routes = []struct {
	service, method string
	path            *regexp.Regexp
	operation       string
}{
	{"lambda", "GET", regexp.MustCompile(`^/2015-03-31/functions/?$`), "ListFunctions"},
	{"lambda", "GET", regexp.MustCompile(`^/2015-03-31/functions/[^/]+$`), "GetFunction"},
	{"lambda", "GET", regexp.MustCompile(`^/2021-10-31/functions/[^/]+/urls$`), "ListFunctionUrlConfigs"},
	{"eks", "GET", regexp.MustCompile(`^/clusters$`), "ListClusters"},
	{"eks", "GET", regexp.MustCompile(`^/clusters/[^/]+$`), "DescribeCluster"},
	{"eks", "GET", regexp.MustCompile(`^/clusters/[^/]+/node-groups$`), "ListNodegroups"},
	{"eks", "GET", regexp.MustCompile(`^/clusters/[^/]+/node-groups/[^/]+$`), "DescribeNodegroup"},
	{"securityhub", "POST", regexp.MustCompile(`^/findings$`), "GetFindings"},
	{"inspector2", "POST", regexp.MustCompile(`^/findings/list$`), "ListFindings"},
}

func bucketOperation(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case r.Method != http.MethodGet:
		return ""
	case r.URL.Path == "/":
		return "ListBuckets"
	case query.Has("location"):
		return "GetBucketLocation"
	case query.Has("tagging"):
		return "GetBucketTagging"
	case query.Has("publicAccessBlock"):
		return "GetPublicAccessBlock"
	case query.Has("policyStatus"):
		return "GetBucketPolicyStatus"
	case query.Has("encryption"):
		return "GetBucketEncryption"
	case query.Has("acl"):
		return "GetBucketAcl"
	}
	return ""
}

func contentType(service string) string {
	switch service {
	case "ecs", "ecr", "organizations", "tagging":
		return "application/x-amz-json-1.1"
	case "lambda", "eks", "securityhub", "inspector2":
		return "application/json"
	}
	return "text/xml"
}

// fail writes an error as the service's protocol does.
func fail(w http.ResponseWriter, service string, failure *Failure) {
	kind := contentType(service)
	w.Header().Set("Content-Type", kind)
	if kind != "text/xml" {
		w.Header().Set("X-Amzn-ErrorType", failure.Code)
	}
	w.WriteHeader(failure.Status)
	switch {
	case kind != "text/xml":
		fmt.Fprintf(w, `{"__type": %q, "message": %q}`, failure.Code, failure.Message)
	case service == "ec2":
		fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>`, failure.Code, failure.Message)
	case service == "s3":
		fmt.Fprintf(w, `<Error><Code>%s</Code><Message>%s</Message></Error>`, failure.Code, failure.Message)
	default:
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, failure.Code, failure.Message)
	}
}
