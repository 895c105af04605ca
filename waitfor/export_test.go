package waitfor

// ServiceVerdict is what is found of a service's instances.
var ServiceVerdict = serviceVerdict
